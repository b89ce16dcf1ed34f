"""The quality gate: sound episodes pass, every class of defect is named, and nothing is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daemon.recorder.catalog import read_info
from daemon.recorder.dataset import REMOVED
from daemon.recorder.plan import Plan
from daemon.recorder.quality import gate
from daemon.recorder.quality.files import last_views, read_verdict
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.quality.gate import HeldBackError
from daemon.recorder.quality.rows import EpisodeRows
from daemon.recorder.quality.verdict import judge
from daemon.recorder.schema import CameraSpec, EpisodeSpec, Evidence, Row
from daemon.recorder.session import Session
from daemon.recorder.staging import episode_folder

from .episodes import make_spec
from .quality_cases import CLASSES, cases
from .quality_film import Film, cut, expert_rows, film, verdict_on, views_of

_SEEDS = (30_000, 30_001)
_EACH = 3


@pytest.fixture(scope="module")
def episodes() -> list[EpisodeRows]:
    return [expert_rows(seed) for seed in _SEEDS]


def test_sound_episodes_are_not_flagged(episodes: list[EpisodeRows]) -> None:
    """Neither by their rows, nor by pictures whose light, noise and loose things change."""
    before: dict[str, Any] = {}
    for number, light in enumerate((1.0, 0.55, 1.15, 0.8)):
        rows = episodes[number % len(episodes)]
        pictures = film(rows, 100 + number, light=light)
        assert verdict_on(rows, pictures, before).findings == ()
        before = views_of(pictures)


@pytest.mark.parametrize("name", list(CLASSES))
def test_each_defect_is_named(name: str, episodes: list[EpisodeRows]) -> None:
    """By its code, with the camera or joint and the time."""
    findings = [case.named() for case in cases(name, episodes, _EACH)]
    caught = [finding for finding in findings if finding is not None]
    assert len(caught) == len(findings)
    assert all(finding.what and finding.do for finding in caught)


def test_a_task_that_never_grasps_is_not_told_so_for_ever(episodes: list[EpisodeRows]) -> None:
    (case,) = cases("gripper_idle", episodes, 1)
    assert judge(case.rows, {}, {}, {}, gripper_idle_before=True).findings == ()


# --- on the way into a dataset --------------------------------------------------------------------


def _spec(root: Path, **changes: Any) -> EpisodeSpec:
    cameras = tuple(CameraSpec(name, 320, 240) for name in ("overhead", "wrist"))
    return make_spec(root, cameras=cameras, **changes)


def _record(session: Session, spec: EpisodeSpec, rows: EpisodeRows, pictures: Film) -> str:
    """Record and keep an episode through the recorder's own session; returns its journal's id."""
    manifest = session.start(spec)
    for row in range(len(rows.state)):
        evidence = Evidence(
            tick_index=int(rows.tick_index[row]),
            deadline_ns=int(rows.deadline_ns[row]),
            requested_rad=np.zeros(6),
            applied_rad=np.zeros(6),
            capture_ns={name: int(each[row]) for name, each in rows.capture_ns.items()},
            repeated={name: bool(each[row]) for name, each in rows.repeated.items()},
        )
        state = rows.state[row].astype(np.float32)
        action = rows.action[row].astype(np.float32)
        session.append(
            Row(state=state, action=action, task=spec.task, evidence=evidence),
            {name: _coloured(pages[row]) for name, pages in pictures.items()},
        )
    session.keep()
    return manifest.journal_id


def _coloured(grey: Any) -> Any:
    return np.repeat(np.repeat(grey, 2, axis=0), 2, axis=1)[..., None].repeat(3, axis=2)


def _verdict(root: Path, index: int) -> Verdict:
    verdict = read_verdict(root / episode_folder(index))
    assert verdict is not None
    return verdict


def test_a_kept_episode_is_judged_by_what_its_video_decodes_to(
    tmp_path: Path, episodes: list[EpisodeRows]
) -> None:
    """And saved whatever the verdict; an undo takes the verdict out with the episode."""
    root, spec = tmp_path / "pick", _spec(tmp_path / "pick")
    rows = cut(episodes[0], 0, 90)
    frozen = film(rows, 2)
    frozen["wrist"][30:70] = frozen["wrist"][30]
    shifted = film(rows, 3)
    shifted["overhead"] = np.roll(shifted["overhead"], 6, axis=2)
    session = Session(tmp_path / "journals")
    kept = [_record(session, spec, rows, pictures) for pictures in (film(rows, 1), frozen, shifted)]
    results = session.publish_pending()
    words = [result.verdict.worst for result in results if result.verdict is not None]
    assert words == ["ok", "bad", "warn"]
    (finding,) = _verdict(root, 1).findings
    assert (finding.code, finding.camera) == ("picture_frozen", "wrist")
    assert finding.from_s == pytest.approx(2.0, abs=0.1)
    assert finding.to_s == pytest.approx(70 / 15, abs=0.1)
    (finding,) = _verdict(root, 2).findings
    assert (finding.code, finding.camera) == ("camera_moved", "overhead")
    assert "12 px right" in finding.what
    info = read_info(root)
    codes = {index: [each.code for each in found] for index, found in info.flagged.items()}
    assert (info.judged, codes) == (3, {1: ["picture_frozen"], 2: ["camera_moved"]})
    session.undo(root, kept[2])
    assert not (root / episode_folder(2) / "quality.json").exists()
    assert (root / REMOVED / kept[2] / "quality.json").exists()
    assert set(last_views(root, 2)) == {"overhead", "wrist"}
    session.close()


def test_an_episode_that_is_held_back_is_saved_by_a_second_word(
    tmp_path: Path, episodes: list[EpisodeRows]
) -> None:
    root, spec = tmp_path / "pick", _spec(tmp_path / "pick", gate="hold")
    rows = cut(episodes[0], 0, 60)
    dark = {name: pages // 20 for name, pages in film(rows, 1).items()}
    session = Session(tmp_path / "journals")
    journal = _record(session, spec, rows, dark)
    (result,) = session.publish_pending()
    assert isinstance(result.error, HeldBackError)
    assert "black" in result.error.what
    assert session.pending == ()
    assert not (root / "meta").exists()
    (offered,) = session.offered()
    assert (offered.journal_id, offered.rows) == (journal, 60)
    assert "Quality gate" in offered.reason
    session.decide(journal, keep=True)
    (result,) = session.publish_pending()
    assert result.commit is not None
    assert _verdict(root, 0).worst == "bad"
    assert last_views(root, 1) == {}  # a black view is nothing to compare the next one with
    session.close()


def test_a_defect_of_the_gate_costs_no_episode(
    tmp_path: Path, episodes: list[EpisodeRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise IndexError("of the gate itself")

    monkeypatch.setattr(gate, "judge", broken)
    spec = _spec(tmp_path / "pick", gate="hold")
    rows = cut(episodes[0], 0, 30)
    session = Session(tmp_path / "journals")
    _record(session, spec, rows, film(rows, 1))
    (result,) = session.publish_pending()
    assert result.commit is not None
    assert [each.code for each in _verdict(tmp_path / "pick", 0).findings] == ["gate_failed"]
    session.close()


def test_an_episode_of_an_earlier_version_is_judged_by_what_it_has(
    tmp_path: Path, episodes: list[EpisodeRows]
) -> None:
    """Its evidence lacks columns; its journal may be published by this version."""
    spec = _spec(tmp_path / "pick")
    rows = pa.table(
        {
            "observation.state": pa.array(episodes[0].state.tolist(), pa.list_(pa.float32(), 6)),
            "action": pa.array(episodes[0].action.tolist(), pa.list_(pa.float32(), 6)),
        }
    )
    old = pa.table({"deadline_ns": episodes[0].deadline_ns})
    assert verdict_on(EpisodeRows.of(spec, rows, old)).findings == ()


def test_the_session_shows_the_verdict_when_it_comes_and_counts_no_episode_that_is_held(
    tmp_path: Path, episodes: list[EpisodeRows]
) -> None:
    plan = Plan(_spec(tmp_path / "pick"), episodes=2, limit_s=None)
    for journal in ("one", "two"):
        plan.kept.append(journal)
        plan.note(journal, 90, 6.0, "kept", "", gaps=0, repeated=0)
    (case,) = cases("black", episodes, 1)
    bad = verdict_on(case.rows, case.pictures)
    assert [line.verdict for line in plan.lines] == ["", ""]
    plan.saved("one", 4, Verdict())
    plan.held_back("two", bad)
    one, two = plan.lines
    assert (one.episode, one.verdict, one.findings) == (4, "ok", ())
    assert (two.outcome, two.verdict, two.do) == ("held", "bad", bad.findings[0].do)
    assert "black" in two.findings[0]
    assert plan.kept == ["one"]
    plan.saved("two", 5, bad)  # a person's second word
    assert plan.kept == ["one", "two"]
    assert plan.lines[1].outcome == "kept"


# --- false alarms, measured -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_none_of_ten_expert_episodes_is_flagged() -> None:
    flagged = {
        seed: [finding.what for finding in verdict_on(expert_rows(seed)).findings]
        for seed in range(40_000, 40_010)
    }
    assert not any(flagged.values()), flagged


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_none_of_two_rendered_expert_episodes_is_flagged(tmp_path: Path) -> None:
    """Pictures from the plant's renderer, through encoder and decoder, each with the one before."""
    from learning.collect import collect
    from learning.world import lockstep_config
    from sim.tasks.spec import load_task

    root, task = tmp_path / "pick", load_task("block_in_bowl")
    collect(lockstep_config(), task, root, "me/pick", 2, first_seed=41_000, cameras=True)
    found = {index: _verdict(root, index).findings for index in range(2)}
    assert not any(found.values()), found
