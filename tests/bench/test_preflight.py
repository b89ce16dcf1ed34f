"""The benchmark of the pre-flight: its bad chunks are bad, its plant is a judge of its own."""

import argparse
import math
from pathlib import Path

import numpy as np
import pytest

from bench import preflight
from bench.bad_chunks import NUMBER_CLASSES, BadChunk, contact_candidates, numbers
from bench.good_chunks import SEEN, GoodChunk, _read, _write
from bench.preflight import PRESS_N
from bench.preflight_judge import Judge
from robotd.trajectory import rest_to_rest
from sim.kinematics import ArmKinematics, Reach

HOME = tuple(math.radians(angle) for angle in (0.0, -60.0, 45.0, 65.0, 0.0, 20.0))
STEP_S = 1.0 / 30.0


def chunk(to: tuple[float, ...], start: tuple[float, ...] = HOME, seed: int = 3) -> GoodChunk:
    goals = np.array(rest_to_rest(start, to, 0, 33_333_333, 1.2).goals_rad)
    stands = np.tile(goals[0], (SEEN, 1))
    return GoodChunk("expert", seed, 1.0, 0.0, 0.0, STEP_S, stands, stands, goals)


POOL = [
    chunk((0.8, -0.2, 0.2, 1.2, 0.4, 0.5)),
    chunk((-0.8, -0.2, 0.2, 1.2, 0.4, 0.5)),
    chunk(HOME, start=(-0.9, -0.2, 0.2, 1.2, 0.4, 0.5)),
]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


def test_the_plant_feels_a_hand_pressed_on_the_table_and_the_twin_refuses_it(judge: Judge) -> None:
    kinematics = ArmKinematics()
    under = kinematics.solve(Reach(0.22, 0.1, -0.06, math.radians(10.0), 0.5)).position_rad
    above = kinematics.solve(Reach(0.22, 0.1, 0.08, math.radians(10.0), 0.5)).position_rad
    plant = judge.plant(101)
    for to, presses in ((under, True), (above, False)):
        bad = BadChunk(chunk(to), "")
        standing = plant.stand(HOME)
        assert standing.force_n == 0.0
        pressed = plant.roll(bad.chunk.plan(0), PRESS_N)
        assert (pressed.kind in ("fingers", "table")) is presses
        assert (judge.standing(bad, standing) is not None) is presses


@pytest.mark.parametrize("name", NUMBER_CLASSES)
def test_what_is_bad_by_construction_is_refused_and_what_it_was_made_from_is_not(
    judge: Judge, name: str
) -> None:
    assert all(judge.good(each) is None for each in POOL)
    made = numbers(POOL, name, seed=1)
    assert all(judge.bad(next(made)) is not None for _ in range(40))


def test_the_same_seed_makes_the_same_chunks() -> None:
    def first(seed: int) -> list[np.ndarray]:
        made = contact_candidates(POOL, "self", seed)
        return [next(made).chunk.goals_rad for _ in range(3)]

    assert all(np.array_equal(a, b) for a, b in zip(first(4), first(4), strict=True))
    assert not all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(first(4), first(5), strict=True)
    )


def test_kept_chunks_are_read_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    _write(path, POOL)
    for kept, made in zip(_read(path), POOL, strict=True):
        assert np.array_equal(kept.goals_rad, made.goals_rad)
        assert (kept.origin, kept.seed, kept.step_s) == (made.origin, made.seed, made.step_s)


def test_the_report_counts_each_class_and_fails_when_one_is_let_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "_pools", lambda *_: (POOL, []))
    monkeypatch.setattr(preflight, "MUST_TAKE_MS", 1_000.0)
    monkeypatch.setattr("bench.bad_chunks.CONTACT_CLASSES", ())
    parser = argparse.ArgumentParser()
    preflight.configure(parser)
    args = parser.parse_args(["--bad", "8", "--gate", "1"])
    assert preflight.run(args) == 0
    assert "over_speed      2       2" in capsys.readouterr().out
    monkeypatch.setattr("bench.preflight_judge.Judge.bad", lambda *_: None)
    assert preflight.run(args) == 1
    assert "missed:" in capsys.readouterr().out
