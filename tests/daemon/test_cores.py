"""Which core control has to itself, and that nobody else is on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.cores import CORES_FILE, Cores, own_core, share


def test_four_cores_spare_one_and_two_do_not() -> None:
    assert share(range(4), "auto", (), False) == Cores(3, (0, 1, 2))
    on_two = share(range(2), "auto", (), False)
    assert (on_two.control, on_two.others) == (None, (0, 1))
    assert "2 cores are too few" in on_two.why


@pytest.mark.parametrize(
    ("setting", "core", "why"),
    [(1, 1, ""), ("none", None, "is none"), (9, None, "none of those it may use: 0, 1")],
)
def test_a_person_may_choose_the_core_or_none(
    setting: int | str, core: int | None, why: str
) -> None:
    shared = share(range(2), setting, (), False)
    assert shared.control == core
    assert why in shared.why
    assert core not in shared.others
    assert shared.others  # somebody has to run the rest


def test_only_the_cores_that_the_container_allows_are_given() -> None:
    assert share({2, 3, 6, 7}, "auto", (), False) == Cores(7, (2, 3, 6))
    assert share({5}, 5, (), False).others == (5,)


def test_two_robots_on_one_machine_never_share_a_core_of_control() -> None:
    first = share(range(6), "auto", (), False)
    second = share(range(6), "auto", (5,), False)
    assert first.control == 5
    assert second.control == 4
    assert 5 not in second.others


def test_a_rehearsal_takes_no_core_and_keeps_off_the_real_arms() -> None:
    rehearsal = share(range(4), "auto", (3,), True)
    assert (rehearsal.control, rehearsal.others) == (None, (0, 1, 2))


def test_the_core_of_another_robot_is_read_from_its_folder(tmp_path: Path) -> None:
    assert own_core(tmp_path) == ()
    (tmp_path / CORES_FILE).write_bytes(msgspec.json.encode(Cores(3, (0, 1, 2))))
    assert own_core(tmp_path) == (3,)


_CORES = "import os, json; print(json.dumps(sorted(os.sched_getaffinity(0))))"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux gives cores")
def test_children_stay_off_the_core_that_control_moves_to(tmp_path: Path) -> None:
    """In a process of its own, because the affinity of this one is everybody's."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        pytest.skip("one core cannot be shared out")
    program = (
        "import os, subprocess, sys, json\n"
        "from daemon.control import realtime\n"
        "from daemon.cores import share\n"
        f"cores = share(os.sched_getaffinity(0), {mine[-1]}, (), False)\n"
        "os.sched_setaffinity(0, cores.others)\n"
        f"child = subprocess.run([sys.executable, '-c', {_CORES!r}], capture_output=True)\n"
        "obtained = realtime.take(0, cores.control)\n"
        "print(json.dumps([json.loads(child.stdout), obtained.cpus, obtained.cpu]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    child, control, core = json.loads(done.stdout)
    assert child == mine[:-1]
    assert control == [mine[-1]] == [core]


def test_what_was_refused_is_said_with_what_would_allow_it() -> None:
    """In a process of its own: what is taken, locked memory above all, stays taken."""
    program = (
        "import msgspec\n"
        "from daemon.control import realtime\n"
        "taken = realtime.take(0, None, 'control.cpu is none'), realtime.take(0, 4_095)\n"
        "print(msgspec.json.encode(taken).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    unasked, refused = json.loads(done.stdout)
    assert unasked["cpu_why"] == "control.cpu is none"
    assert refused["cpu"] is None
    assert "core 4095" in refused["cpu_why"]
    assert refused["scheduler_why"] == "not asked for"
