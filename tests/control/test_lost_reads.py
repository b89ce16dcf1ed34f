"""Replies that get lost at random change nothing that is commanded, tick for tick.

The same minutes of motion twice in lock-step: once on a clean line, once on one where each servo's
reply is lost with a chance of one in twenty. Every tick has to send the same goal ticks. This file
is a program too, so that the two can be driven beside each other.
"""

import json
import math
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon.control.exchange import Plan
from drivers.serial_port import SerialPort
from learning.world import LockStepWorld, PlantPort, Tick, lockstep_config
from robotd.states import RequestKind, Source, State, Verdict
from robotd.trajectory import Trajectory

FPS = 30
WAYPOINTS = 90
LOST = 1 / 20


class LossyPort(PlantPort):
    """The plant's port behind a line that eats whole replies."""

    lost = 0
    draw: random.Random | None = None

    def read_available(self) -> bytes:
        data = super().read_available()
        if self.draw is None:
            return data
        heard = bytearray()
        at = 0
        while at < len(data):
            assert data[at : at + 2] == b"\xff\xff"
            end = at + 4 + data[at + 3]
            if self.draw.random() < LOST:
                self.lost += 1
            else:
                heard += data[at:end]
            at = end
        return bytes(heard)


class LossyWorld(LockStepWorld):
    """A lock-step world that keeps its port at hand."""

    port: LossyPort

    def _open(self, arm_name: str, role: object) -> SerialPort:
        self.port = LossyPort(self.plant.port("follower"))
        return self.port


def sway_rad(base: tuple[float, ...], at_s: float) -> tuple[float, ...]:
    """A motion of all joints, at speeds of every day."""
    swing = [0.5, 0.15, 0.15, 0.3, 0.6, 0.2]
    return tuple(
        value + part * math.sin(math.tau * at_s / (3.0 + joint))
        for joint, (value, part) in enumerate(zip(base, swing, strict=True))
    )


Commanded = tuple[list[list[int]], int]


def commanded(kind: RequestKind, seconds: float, seed: int | None) -> Commanded:
    """The goal ticks of every tick of the motion, and how many replies were lost."""
    world = LossyWorld(lockstep_config(), seed=0, plant_seed=1)
    try:
        world.arm_and_home()
        source = Source.POLICY if kind is RequestKind.POLICY else Source.SCRIPTED
        tick = world.give_to(kind, source)
        base = tuple(tick["applied_rad"])
        if seed is not None:
            world.port.draw = random.Random(seed)
        goals: list[list[int]] = []
        for number in range(round(seconds * 120)):
            if number % 4 == 0:
                _ask(world, tick, source, base, number // 4)
            tick = world.tick()
            assert State(tick["state"]).moving, State(tick["state"]).name
            goals.append(list(tick["goal_ticks"]))
        return goals, world.port.lost
    finally:
        world.close()


def _ask(world: LossyWorld, tick: Tick, source: Source, base: tuple[float, ...], row: int) -> None:
    if source is Source.SCRIPTED:
        world.command(tick, source, sway_rad(base, row / FPS))
    elif row % (WAYPOINTS - FPS) == 0:
        now_ns = world.clock.now_ns()
        waypoints = tuple(sway_rad(base, (row + k) / FPS) for k in range(WAYPOINTS))
        world.exchange.newest_plan = Plan(
            id=row + 1,
            source=source,
            handover_version=int(tick["handover_version"]),
            observation_ns=now_ns,
            verdict=Verdict.PASS,
            trajectory=Trajectory(now_ns, 1_000_000_000 // FPS, waypoints),
        )


def elsewhere(kind: RequestKind, seconds: float, seed: int | None) -> Commanded:
    """`commanded` in a process of its own."""
    asked = json.dumps([kind.name, seconds, seed])
    done = subprocess.run([sys.executable, __file__, asked], stdout=subprocess.PIPE, check=True)
    goals, lost = json.loads(done.stdout)
    return goals, lost


def check(clean_run: Commanded, lossy_run: Commanded, seconds: float) -> None:
    (clean, none_lost), (lossy, lost) = clean_run, lossy_run
    assert none_lost == 0
    assert lost > seconds * 120 * 6 * LOST * 0.8, "the line lost fewer replies than it should have"
    assert len({tuple(goal) for goal in clean}) > seconds * 60, "the arm was not in motion"
    differing = [
        tick for tick, pair in enumerate(zip(clean, lossy, strict=True)) if pair[0] != pair[1]
    ]
    assert not differing, f"{len(differing)} ticks differ, the first is {differing[0]}"


@pytest.mark.parametrize("kind", [RequestKind.TELEOP, RequestKind.POLICY], ids=["goals", "plan"])
def test_one_lost_reply_in_twenty_changes_no_commanded_value(kind: RequestKind) -> None:
    check(commanded(kind, 6.0, None), commanded(kind, 6.0, seed=20), 6.0)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("kind", [RequestKind.TELEOP, RequestKind.POLICY], ids=["goals", "plan"])
def test_five_minutes_with_one_lost_reply_in_twenty_command_the_same(kind: RequestKind) -> None:
    with ThreadPoolExecutor(2) as pool:
        clean, lossy = pool.map(lambda seed: elsewhere(kind, 300.0, seed), (None, 20))
    check(clean, lossy, 300.0)


if __name__ == "__main__":
    kind_name, for_s, line_seed = json.loads(sys.argv[1])
    json.dump(commanded(RequestKind[kind_name], for_s, line_seed), sys.stdout)
