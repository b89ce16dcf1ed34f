"""Every screen and state as a picture. `ROBOTD_SNAPSHOTS=write pytest tests/tui/test_snapshots.py`
renews them; look at the new ones before keeping them."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from screen_stage import has_picture, picture, running, show, shown_cameras, until
from scripted_robot import (
    JOINTS,
    NOW_NS,
    POSE,
    ScriptedBackend,
    StillClock,
    joint,
    recording_status,
    status,
)
from textual.command import CommandInput, CommandList
from textual.pilot import Pilot

from robotd import messages
from robotd.errors import StateError
from tui.actions import ACTIONS
from tui.app import RecordApp
from tui.look import PLAIN, RICH, Look

FOLDER = Path(__file__).parent / "snapshots"

Then = Callable[[RecordApp, Pilot[None], StillClock, ScriptedBackend], Awaitable[None]]


@dataclass
class Shot:
    """One picture: a state, a size, a look, and what happens before it is taken."""

    state: messages.Status
    size: tuple[int, int] = (160, 45)
    look: Look = RICH
    then: Then | None = None
    backend: Callable[[], ScriptedBackend] = ScriptedBackend


def moving(state: str, source: str, **changes: object) -> messages.Status:
    """An armed arm with droop, holding or moving, one joint limited."""
    joints = [
        joint(n, at, at - 1.8 if n == "shoulder_lift" else at, temperature_c=36 + 2 * i)
        for i, (n, at) in enumerate(zip(JOINTS, POSE, strict=True))
    ]
    values: dict[str, object] = {
        "state": state,
        "source": source,
        "torque": "on",
        "joints": tuple(joints),
        "recording": recording_status("ready"),
    }
    return status(**(values | changes))


def squeezing() -> tuple[messages.JointStatus, ...]:
    """The gripper holds something, one joint is asked to go beyond what the step allows."""
    joints = list(moving("teleop", "leader").joints)
    joints[5] = joint(
        "gripper",
        22.0,
        6.0,
        applied_units=18.0,
        load_percent=48.0,
        temperature_c=57.0,
        limited_by="squeeze (gripper holds something)",
    )
    joints[1] = joint("shoulder_lift", -31.2, -40.0, applied_units=-33.0, limited_by="speed")
    return tuple(joints)


CHECKS = (
    messages.Check(name="bus", outcome="pass", detail="6 servos answer, 0.9 ms a read"),
    messages.Check(name="ids and model", outcome="pass", detail="1-6, STS3215"),
    messages.Check(name="voltage", outcome="pass", detail="12.1 V"),
    messages.Check(name="calibration", outcome="pass", detail="matches the registers"),
    messages.Check(name="cameras", outcome="pass", detail="overhead 33 ms, wrist 31 ms"),
    messages.Check(
        name="disk",
        outcome="warn",
        detail="48 min of recording left",
        do="free some space, or record less",
    ),
    messages.Check(name="twin agrees", outcome="pass", detail="residual 1.1 deg"),
)
FAILED = messages.Check(
    name="temperature",
    outcome="fail",
    detail="gripper 66 C, limit 60 C",
    do="let it cool down with torque off, then check again",
)


async def open_arming(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("a")
    await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.checked)
    await pilot.pause()


def armable(*checks: messages.Check) -> Callable[[], ScriptedBackend]:
    """A robot that answers the arming list with these checks."""
    data = {"checks": msgspec.to_builtins(checks)}
    return lambda: ScriptedBackend(answers={messages.Arm: data})


async def lose(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    clock.at_ns += 3_200_000_000
    app.tick()
    await pilot.pause()


async def droop_for_a_while(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    for step in range(12):
        residual = (0.2, 1.0 + 2.2 * (step % 5) / 4, 0.8, 0.1, 0.0, 0.3)
        twin = msgspec.structs.replace(POLICY.twin, residual_deg=residual)
        await show(app, pilot, backend, msgspec.structs.replace(POLICY, twin=twin))


async def press_while_saving(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("right")


async def label(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("s")


async def take_keyboard(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("tab")
    await until(pilot, lambda: app.acts.turn.waiting)
    await show(app, pilot, backend, moving("teleop", "keyboard", handover_version=5))
    await pilot.press("2", "up", "up")


def press(*keys: str) -> Then:
    """Press these keys."""

    async def then(
        app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
    ) -> None:
        await pilot.press(*keys)
        await pilot.pause()

    return then


async def open_palette(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("ctrl+p")
    app.screen.query_one(CommandInput).cursor_blink = False
    names = {action.name for action in ACTIONS} - {"command_palette", "jog_number"}
    await until(pilot, lambda: app.screen.query_one(CommandList).option_count == len(names))
    await pilot.pause(0.3)


async def be_refused(
    app: RecordApp, pilot: Pilot[None], clock: StillClock, backend: ScriptedBackend
) -> None:
    await pilot.press("h")
    await until(pilot, lambda: app.view.note is not None)
    await pilot.pause()


TELEOP = moving(
    "teleop", "leader", joints=squeezing(), recording=recording_status("recording", gaps=1)
)
FAULT = moving(
    "fault",
    "none",
    fault="servo 3 (elbow_flex) has not answered for 10 reads",
    fault_do="Check the cable between shoulder_lift and elbow_flex, then the 12 V plug",
    joints=tuple(
        joint(n, at, age_ms=4.0 if i != 2 else 2300.0, status=0 if i != 4 else 0x20)
        for i, (n, at) in enumerate(zip(JOINTS, POSE, strict=True))
    ),
)
POLICY = moving(
    "policy",
    "policy",
    twin=messages.TwinStatus(
        alive=True,
        residual_deg=(0.2, 2.4, 0.8, 0.1, 0.0, 0.3),
        plans_passed=212,
        plans_rejected=3,
        last_reason="contact with the table",
        last_verdict_ms=8.0,
    ),
    policy=messages.PolicyStatus(
        phase="running",
        kind="act",
        fps=15,
        told="where the block is",
        inference_ms=11.0,
        observation_age_ms=24.0,
        chunks=212,
    ),
)


def flagged() -> messages.RecordingStatus:
    """A session whose newest episode has findings, and a camera that was exchanged before it."""
    before = recording_status("ready")
    frozen = messages.EpisodeLine(
        index=17,
        seconds=9.0,
        frames=135,
        outcome="success",
        episode=15,
        verdict="bad",
        findings=(
            "wrist shows one picture from 2.1 to 4.6 s while the arm moved: the camera sent it again "
            "and again.",
            "gripper never moved.",
        ),
        do="Redo the episode. Replug the camera; robotd logs camera-wrist",
    )
    sound = [msgspec.structs.replace(each, verdict="ok") for each in before.episodes]
    return msgspec.structs.replace(
        before,
        episodes=(*sound, frozen),
        warnings=(
            "Camera wrist is another module (usb-0c45_1002) than in the last episode "
            "(usb-0c45_1001). Compare its picture with an old episode's.",
        ),
    )


SAVING = moving("holding", "hold", recording=recording_status("saving"))

SHOTS: dict[str, Shot] = {
    "disarmed": Shot(status()),
    "arming-list": Shot(status(), then=open_arming, backend=armable(*CHECKS)),
    "arming-list-failed": Shot(status(), then=open_arming, backend=armable(FAILED, *CHECKS)),
    "holding": Shot(moving("holding", "hold")),
    "recording": Shot(TELEOP, then=label),
    "saving": Shot(SAVING, then=press_while_saving),
    "policy": Shot(POLICY, then=droop_for_a_while),
    "flagged": Shot(moving("holding", "hold", recording=flagged())),
    "keyboard": Shot(
        moving("holding", "hold", leader_ready=None),
        then=take_keyboard,
        backend=lambda: ScriptedBackend(answers={messages.Teleop: {"handover_version": 5}}),
    ),
    "fault": Shot(FAULT),
    "estop": Shot(moving("estop", "none"), then=press("f12")),
    "lost": Shot(TELEOP, then=lose),
    "refused": Shot(
        status(),
        then=be_refused,
        backend=lambda: ScriptedBackend(
            answers={
                messages.Home: StateError(
                    "The arm is not armed.", "Nobody armed it since the start.", "Arm it first: a"
                )
            }
        ),
    ),
    "small-refused": Shot(
        status(),
        (80, 24),
        then=be_refused,
        backend=lambda: ScriptedBackend(
            answers={
                messages.Home: StateError(
                    "The arm cannot go home: the twin sees a contact on the way.",
                    "Something stands between the arm and its home pose, or the table is nearer.",
                    "Clear the way, or jog the arm up first (Tab), then h again.",
                )
            }
        ),
    ),
    "small-policy-form": Shot(moving("holding", "hold"), (80, 24), then=press("P")),
    "loop-silent": Shot(
        moving(
            "teleop",
            "keyboard",
            loop=msgspec.structs.replace(status().loop, age_ms=6100.0),
            processes={"control": "restarting (signal 9)", "twin": "running"},
        )
    ),
    "help": Shot(moving("holding", "hold"), then=press("question_mark")),
    "task-dialog": Shot(moving("holding", "hold"), then=press("t")),
    "quit-while-recording": Shot(TELEOP, then=press("q")),
    "palette": Shot(moving("holding", "hold"), then=open_palette),
    "small-recording": Shot(TELEOP, size=(80, 24)),
    "small-fault": Shot(FAULT, size=(80, 24)),
    "small-arming-list": Shot(status(), (80, 24), RICH, open_arming, armable(FAILED, *CHECKS)),
    "ascii-recording": Shot(TELEOP, look=PLAIN, then=label),
    "ascii-small-lost": Shot(TELEOP, size=(80, 24), look=PLAIN, then=lose),
    "wide": Shot(TELEOP, size=(200, 50)),
    "real-arm": Shot(
        moving("holding", "hold", simulated=False, name="so101-bench"),
        backend=lambda: ScriptedBackend(
            instance=msgspec.structs.replace(
                ScriptedBackend().instance, name="so101-bench", simulated=False
            )
        ),
    ),
}


@pytest.mark.parametrize("name", SHOTS)
async def test_every_state_looks_as_it_was_last_seen(name: str, tmp_path: Path) -> None:
    shot = SHOTS[name]
    backend = shot.backend()
    async with running(backend, shot.state, shot.size, shot.look) as (app, pilot, clock):
        if shot.then is not None:
            await shot.then(app, pilot, clock, backend)
        await until(pilot, lambda: all(has_picture(view) for view in shown_cameras(app)))
        app.tick()
        await pilot.pause()
        svg = picture(app)
    kept = FOLDER / f"{name}.svg"
    if os.environ.get("ROBOTD_SNAPSHOTS") == "write":
        kept.write_text(svg, encoding="utf-8")
    seen = tmp_path / f"{name}.svg"
    seen.write_text(svg, encoding="utf-8")
    assert svg == kept.read_text(encoding="utf-8"), f"{name} looks different now: see {seen}"


def test_no_snapshot_is_left_over() -> None:
    assert {file.stem for file in FOLDER.glob("*.svg")} == set(SHOTS)
    assert NOW_NS > 0
