"""The twin as a process: it answers every proposal, and lives as long as control does."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.loader import load
from robotd import layouts
from robotd.clock import NS_PER_S
from robotd.shm import RingWriter, SlotReader, SlotWriter
from robotd.states import PlanReason, State, Verdict

JOINTS = 6
HOME = tuple(math.radians(angle) for angle in (0.0, -60.0, 45.0, 65.0, 0.0, 20.0))
TIMEOUT_S = 30.0


def tick_values(index: int, pose: tuple[float, ...]) -> dict[str, Any]:
    """A tick of a held arm; what the twin does not read is zero."""
    values: dict[str, Any] = {
        field.name: 0 if field.count == 1 else [0] * field.count
        for field in layouts.tick_layout(JOINTS).fields
    }
    values |= {
        "index": index,
        "deadline_ns": time.monotonic_ns(),
        "state": int(State.HOLDING),
        "applied_rad": list(pose),
        "present_position_rad": list(pose),
    }
    return values


def proposal(number: int, goal: tuple[float, ...]) -> dict[str, Any]:
    now_ns = time.monotonic_ns()
    room = layouts.PLAN_WAYPOINTS * JOINTS
    flat = [*HOME, *goal]
    return {
        "id": number,
        "source": 5,
        "handover_version": 1,
        "observation_ns": now_ns,
        "start_ns": now_ns,
        "step_ns": NS_PER_S // 15,
        "waypoints": 2,
        "verdict": 0,
        "reason": 0,
        "reason_joint": -1,
        "verdict_us": 0,
        "judged_ns": 0,
        "goal_rad": flat + [0.0] * (room - len(flat)),
    }


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    config = load(simulated=True).config
    relaxed = msgspec.structs.replace(config.twin, verdict_budget_ms=1000.0)  # a busy test machine
    config = msgspec.structs.replace(config, twin=relaxed)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    return tmp_path


@pytest.fixture
def twin(runtime: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "sim.twin", "--runtime", str(runtime)]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process
        process.kill()


def until(look: Callable[[], Any], what: str) -> Any:
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {TIMEOUT_S:g} s")


def reader(path: Path, layout: Any) -> SlotReader:
    def look() -> SlotReader | None:
        return SlotReader(path, layout) if path.exists() else None

    found: SlotReader = until(look, path.name)
    return found


def test_every_proposal_is_answered_and_the_park_path_watched(
    runtime: Path, twin: "subprocess.Popen[bytes]"
) -> None:
    ticks = RingWriter(runtime / "ticks", layouts.tick_layout(JOINTS), 64)
    ticks.append(tick_values(0, HOME))
    slot = SlotWriter(runtime / "proposal", layouts.plan_layout(JOINTS))
    plans = reader(runtime / "plan", layouts.plan_layout(JOINTS))
    state = reader(runtime / "twin", layouts.twin_layout(JOINTS))

    def clear() -> bool | None:
        ticks.append(tick_values(ticks.count, HOME))
        record = state.read()
        return True if record is not None and record["park_clear"] else None

    assert until(clear, "a clear park path")

    good = (0.05, *HOME[1:])
    cases = [(1, good, Verdict.PASS), (2, (math.nan, *HOME[1:]), Verdict.REJECT)]
    for number, goal, verdict in cases:
        slot.write(proposal(number, goal))

        def answered(number: int = number) -> dict[str, Any] | None:
            record = plans.read()
            return record if record is not None and record["id"] == number else None

        plan = until(answered, f"the verdict on plan {number}")
        assert plan["verdict"] == verdict
        assert plan["handover_version"] == 1
    assert plan["reason"] == PlanReason.NOT_FINITE
    assert plan["reason_joint"] == 0

    twin.terminate()
    assert twin.wait(TIMEOUT_S) == 0


@pytest.mark.slow
def test_the_twin_outlives_its_parent_while_control_ticks_and_ends_after_it(
    runtime: Path,
) -> None:
    ticks = RingWriter(runtime / "ticks", layouts.tick_layout(JOINTS), 64)
    starter = (
        "import pathlib, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'sim.twin', '--runtime', sys.argv[1]],"
        " start_new_session=True, stdout=subprocess.DEVNULL)\n"
        "print(p.pid, flush=True)\n"
        "while not pathlib.Path(sys.argv[1], 'twin').exists(): time.sleep(0.05)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter, str(runtime)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    pid = int(done.stdout)
    try:
        end_s = time.monotonic() + 4.5
        while time.monotonic() < end_s:
            ticks.append(tick_values(ticks.count, HOME))
            time.sleep(0.05)
        assert alive(pid), "control still ticked, and parks by the twin's word"
        until(lambda: None if alive(pid) else True, "the end of the orphan")
    finally:
        if alive(pid):
            os.kill(pid, 9)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
