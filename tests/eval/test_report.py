"""The report says what was counted: the published tables come out of it again, and nothing is left out."""

import json
from typing import Any
from xml.etree import ElementTree

import cairosvg
import msgspec
import pytest

from learning.evaluation.page import chart, grid_chart, page
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.report import About, results, table
from learning.evaluation.run import write_report
from learning.evaluation.variants import Cell, Variant
from robotd.policy_channel import Load

ABOUT = About(
    source="plant", task="block_in_bowl", robotd="1+abc", scene_sha="f" * 64, max_steps=300
)
JOINT = ["success"] * 22 + ["never_picked_up"] * 2 + ["dropped_during_transport"] * 6
END_EFFECTOR = (
    ["success"] * 19
    + ["never_picked_up"] * 7
    + ["dropped_during_transport"] * 2
    + ["missed_goal", "timeout"]
)


def variant(name: str, step: int | None = None) -> Variant:
    return Variant(name=name, load=Load(path=f"/{name}"), step=step)


def played(number: int, outcomes: list[str], steps: list[int] | None = None) -> list[EpisodeRecord]:
    taken = steps or [100] * len(outcomes)
    return [
        EpisodeRecord(variant=number, seed=seed, outcome=outcome, steps=taken[seed])
        for seed, outcome in enumerate(outcomes)
    ]


def test_the_published_outcome_tables_come_out_exactly() -> None:
    """Policies facts 3.4: 73.3/93.3/21.4 with 182.3 steps on average, and 63.3/76.7/13.0."""
    joint = results(ABOUT, [variant("a")], played(0, JOINT, [139] * 11 + [140] * 11 + [9] * 8))
    assert round(100 * joint["success_rate"], 1) == 73.3
    assert round(100 * joint["pick_rate"], 1) == 93.3
    assert round(100 * joint["drop_rate"], 1) == 21.4
    assert round(joint["mean_steps"], 1) == 182.3
    ee = results(ABOUT, [variant("a")], played(0, END_EFFECTOR))
    said = [round(100 * ee[key], 1) for key in ("success_rate", "pick_rate", "drop_rate")]
    assert said == [63.3, 76.7, 13.0]
    assert ee["outcomes"] == {
        "dropped_during_transport": 2,
        "missed_goal": 1,
        "never_picked_up": 7,
        "success": 19,
        "timeout": 1,
    }
    assert ee["seeds"] == list(range(30)) and len(ee["per_episode"]) == 30
    assert {
        "seed",
        "seconds",
        "outcome",
        "steps",
        "max_h",
        "lifted",
        "dropped",
        "dist",
        "plan_rmse",
    } <= set(ee["per_episode"][0])


@pytest.fixture
def sweep() -> dict[str, Any]:
    """Three checkpoints of 20 episodes: 40, 90 and 95 %."""
    ways = [["success"] * n + ["missed_goal"] * (20 - n) for n in (8, 18, 19)]
    names = [variant(f"step {step}", step) for step in (1000, 2000, 3000)]
    records = [each for number, way in enumerate(ways) for each in played(number, way)]
    return results(ABOUT, names, records)


def test_a_sweep_takes_the_earliest_inside_the_bests_interval_and_compares_it_in_pairs(
    sweep: dict[str, Any],
) -> None:
    assert sweep["chosen"] == "step 2000" and sweep["ckpt_step"] == 2000
    assert "step 3000" in sweep["why_chosen"]
    assert sweep["success_rate"] == 0.9  # the top level is the chosen one's
    against = {pair["against"]: pair for pair in sweep["paired"]}
    assert set(against) == {"step 1000", "step 3000"}
    worse = against["step 1000"]
    assert (worse["pairs"], worse["only_variant"], worse["only_against"]) == (20, 10, 0)
    assert worse["difference"] == 0.5 and worse["ci95"][0] > 0 and worse["p"] < 0.01
    assert against["step 3000"]["p"] == 1.0
    words = table(sweep)
    assert "* step 2000" in words and "p 0.00195" in words


def test_the_report_is_one_page_that_needs_nothing_and_can_be_drawn(
    sweep: dict[str, Any], tmp_path: Any
) -> None:
    sweep["variants"][0]["variant"] = "<b>&step"
    write_report(tmp_path, sweep)
    said = (tmp_path / "report.html").read_text()
    assert "<b>" not in said and "&lt;b&gt;&amp;step" in said
    assert (
        "src=" not in said
        and "<script" not in said
        and "http" not in said.replace("http://www.w3.org/2000/svg", "")
    )
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(sweep))
    svg = (tmp_path / "results.svg").read_text()
    root = ElementTree.fromstring(svg)
    bars = [e for e in root.iter() if e.tag.endswith("rect") and e.get("opacity") == "0.85"]
    wide = [float(str(bar.get("width"))) for bar in bars]
    assert wide == pytest.approx([0.4 * 420, 0.9 * 420, 0.95 * 420], abs=0.1)
    assert cairosvg.svg2png(svg.encode())[:4] == b"\x89PNG"


def test_a_grid_says_where_it_worked(tmp_path: Any) -> None:
    records = [
        EpisodeRecord(
            variant=0,
            seed=seed,
            outcome="success" if column == 1 else "timeout",
            steps=9,
            cell=Cell(column, row, 0.1 * column, 0.2 * row),
        )
        for column in range(2)
        for row in range(3)
        for seed in range(2)
    ]
    content = results(ABOUT, [variant("a")], records)
    cells = {tuple(cell["cell"]): cell for cell in content["cells"]}
    assert len(cells) == 6
    assert all(cell["successes"] == (2 if key[0] == 1 else 0) for key, cell in cells.items())
    drawn = grid_chart(content["variants"][0])
    assert drawn.count("2/2") == 3 and drawn.count("0/2") == 3
    assert drawn in page(content, "films")
    assert cairosvg.svg2png(chart(content).encode())
    assert cairosvg.svg2png(drawn.encode())


def test_grip_and_slips_are_counted_over_all_episodes() -> None:
    own = [
        EpisodeRecord(
            variant=0, seed=0, outcome="success", steps=1, grip_margin=12.0, slips=2, film="a.mp4"
        ),
        EpisodeRecord(variant=0, seed=1, outcome="timeout", steps=1, grip_margin=3.5),
        EpisodeRecord(variant=0, seed=2, outcome="never_picked_up", steps=1),
    ]
    content = results(ABOUT, [variant("a")], own)
    assert content["grip"] == {
        "margin_min": 3.5,
        "margin_median": 7.75,
        "slips": 2,
        "episodes_with_slips": 1,
    }
    assert "films/a.mp4" in page(content, "films")
    assert "3.5 times" in table(content)


def test_what_nobody_measured_is_empty_and_not_zero() -> None:
    """A gym and an arm were reported with picks, drops, heights and distances that are a field's defaults."""
    gym = [
        EpisodeRecord(
            variant=0,
            seed=seed,
            outcome=word,
            steps=9,
            seconds=2.0,
            judged_by="pusht",
            sum_reward=1.0,
        )
        for seed, word in enumerate(("success", "timeout"))
    ]
    content = results(ABOUT, [variant("a")], gym)
    assert content["pick_rate"] is None and content["drop_rate"] is None
    assert content["grip"]["slips"] is None and content["plans"]["rejected"] is None
    episode = content["per_episode"][0]
    names = ("max_h", "dist", "lifted", "dropped", "limited_ticks", "slips")
    assert [episode[name] for name in names] == [None] * 6
    said = page(content, "films")
    assert "<td>9</td><td></td><td></td><td></td><td></td>" in said
    assert "<td>9.0</td>" not in said and "<td></td><td></td><td>154.5</td>" in said  # pick, drop
    two = results(ABOUT, [variant("a"), variant("b")], [*gym, *_of(gym, 1)])
    assert "pick" not in table(two) and "drop" not in table(two)


def _of(records: list[EpisodeRecord], number: int) -> list[EpisodeRecord]:
    return [msgspec.structs.replace(record, variant=number) for record in records]


def test_a_person_says_how_far_an_episode_came_but_places_nothing_by_a_seed() -> None:
    own = [
        EpisodeRecord(variant=0, seed=seed, outcome=word, steps=9, judged_by="person")
        for seed, word in enumerate(("success", "never_picked_up", "missed_goal", "timeout"))
    ]
    about = msgspec.structs.replace(ABOUT, source="arm bench", seeded=False)
    content = results(about, [variant("a")], own)
    assert (content["pick_rate"], content["drop_rate"]) == (0.75, 0.3333)
    assert content["seeds"] is None and content["grip"]["slips"] is None
    assert [(each["episode"], each["seed"]) for each in content["per_episode"]] == [
        (number, None) for number in (1, 2, 3, 4)
    ]
    assert "episode 2" in page(content, "films") and "seed " not in page(content, "films")
