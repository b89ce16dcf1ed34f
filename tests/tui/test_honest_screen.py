"""What is old is called old, what is limited is said in words, and no look loses information."""

from pathlib import Path

import msgspec
import pytest
from screen_stage import running, show, until, words
from scripted_robot import (
    INSTANCE,
    JOINTS,
    NOW_NS,
    POSE,
    ScriptedBackend,
    joint,
    recording_status,
    status,
)
from test_snapshots import SHOTS

from robotd import messages
from robotd.states import State
from tui.actions import ACTIONS, key_table_markdown
from tui.acts import Acts
from tui.look import PLAIN, RICH, STATE_LOOKS, choose_look
from tui.picture import CameraView
from tui.view import View, with_status


async def test_a_lost_daemon_is_a_banner_with_its_age_and_comes_back_by_itself() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding")) as (app, pilot, clock):
        clock.at_ns += 2_500_000_000
        app.tick()
        await pilot.pause()
        assert "DAEMON LOST: no word for 2.5 s" in words(app)
        assert "■ HOLDING" not in words(app)
        await show(app, pilot, backend, status(state="holding", uptime_s=1.0))
        app.tick()
        await pilot.pause()
        assert "LOST" not in words(app) and "■ HOLDING" in words(app)


async def test_a_recording_that_nobody_hears_of_any_more_is_no_longer_called_running() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (app, pilot, clock):
        assert "● REC 00:07.4" in words(app)
        clock.at_ns += 2_500_000_000
        app.tick()
        await pilot.pause()
        assert "was REC 00:07.4" in words(app) and "● REC" not in words(app)


async def test_an_old_picture_says_its_age() -> None:
    backend = ScriptedBackend(picture_ns=NOW_NS - 4_000_000_000)
    async with running(backend, status(state="holding")) as (app, pilot, _):
        app.tick()
        await pilot.pause()
        assert "overhead OLD: 4.0 s" in words(app)
        assert all(view.has_class("wanted") for view in app.record_screen.query(CameraView))


async def test_a_silent_loop_is_named_though_the_daemon_answers() -> None:
    loop = msgspec.structs.replace(status().loop, age_ms=2100.0)
    async with running(ScriptedBackend(pictures=False), status(loop=loop)) as (app, _, _):
        assert "loop silent 2.1 s" in words(app)


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_with_a_silent_loop_nothing_it_last_said_is_shown_as_current(
    size: tuple[int, int],
) -> None:
    loop = msgspec.structs.replace(status().loop, age_ms=6100.0)
    state = status(state="teleop", source="keyboard", torque="on", loop=loop)
    async with running(ScriptedBackend(pictures=False), state, size) as (app, _, _):
        seen = words(app)
        assert "? TELEOP (loop silent)" in seen and "► TELEOP" not in seen
        assert "torque on" not in seen and "leader ready" not in seen
        assert "joints, as of 6.1 s ago" in seen and "11%" not in seen
        assert "twin 1.1" not in seen


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_a_state_without_joints_is_shown_while_control_starts_again(
    size: tuple[int, int],
) -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(joints=()), size) as (app, _, _):
        assert "no joint was read yet" in words(app)


async def test_what_to_do_about_a_fault_is_readable_to_its_end() -> None:
    state = status(
        state="fault",
        fault="the control process died while it held the arm; the servos keep their last goal",
        fault_do="Support the arm or leave the power on; `robotd clear` starts control again "
        "without moving, then disarm lets the arm down slowly. The plug drops it.",
    )
    async with running(ScriptedBackend(pictures=False), state, (80, 24)) as (app, _, _):
        seen = " ".join(words(app).split())
        assert "keep their last goal" in seen and "(c: clear)" in seen


async def test_a_joint_that_is_not_read_shows_its_age_instead_of_numbers() -> None:
    joints = tuple(
        joint(n, at, age_ms=2300.0 if n == "elbow_flex" else 4.0)
        for n, at in zip(JOINTS, POSE, strict=True)
    )
    async with running(ScriptedBackend(pictures=False), status(joints=joints)) as (app, _, _):
        line = next(line for line in words(app).splitlines() if "elbow_flex" in line)
        assert "old: 2.3 s" in line and "11%" not in line


def test_what_limited_the_arm_stays_readable_for_a_moment_after_it_ended() -> None:
    limited = joint("gripper", 20.0, 5.0, limited_by="speed")
    view = with_status(View(INSTANCE, RICH), status(joints=(limited,)), NOW_NS)
    after = with_status(view, status(joints=(joint("gripper", 20.0),)), NOW_NS + 1_000_000_000)
    assert after.limited["gripper"].words == "speed"
    later = with_status(after, status(joints=(joint("gripper", 20.0),)), NOW_NS + 9_000_000_000)
    assert later.limited == {}


async def test_a_dead_process_is_a_banner() -> None:
    state = status(processes={"control": "running", "twin": "dead (signal 9)"})
    async with running(ScriptedBackend(pictures=False), state) as (app, _, _):
        assert "not running: twin dead (signal 9)" in words(app)


async def test_a_limp_looking_arm_with_torque_on_is_pointed_out() -> None:
    state = status(state="disarmed", torque="unknown")
    async with running(ScriptedBackend(pictures=False), state) as (app, _, _):
        assert "torque is unknown: the arm may be stiff" in words(app)


@pytest.mark.parametrize("name", [name for name in SHOTS if name.startswith("ascii")])
async def test_the_plain_look_is_pure_ascii(name: str) -> None:
    shot = SHOTS[name]
    backend = shot.backend()
    async with running(backend, shot.state, shot.size, PLAIN) as (app, pilot, clock):
        assert shot.then is not None
        await shot.then(app, pilot, clock, backend)
        seen = words(app)
    assert seen.isascii(), sorted(set(seen) - set(map(chr, range(128))))


def test_every_state_has_its_own_word_and_glyph_in_both_looks() -> None:
    assert set(STATE_LOOKS) == set(State)
    looks = STATE_LOOKS.values()
    assert len({look.word for look in looks}) == len(looks)
    assert len({look.plain_glyph for look in looks}) == len(looks)
    assert all(look.plain_glyph.isascii() for look in looks)


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        ({"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}, False),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, True),
        ({"TERM": "xterm"}, False),
        ({"TERM": "xterm", "LANG": "C.UTF-8"}, False),
        ({"TERM": "xterm", "LC_ALL": "C"}, True),
        ({"TERM": "vt100"}, True),
    ],
)
def test_the_look_fits_the_terminal(environment: dict[str, str], plain: bool) -> None:
    assert choose_look(False, environment).ascii is plain
    assert choose_look(True, environment) is PLAIN


def test_every_action_of_the_registry_is_carried_out_and_documented_once() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys)), "one key, one meaning"
    for action in ACTIONS:
        assert callable(getattr(Acts, action.name)), action.name
        assert f"| `{action.shown}` | {action.help} |" in key_table_markdown()


def test_the_page_of_keys_is_the_registry() -> None:
    """`python -c "from tui.actions import *; print(key_table_markdown(), end='')"` prints it."""
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text() == key_table_markdown()


async def test_two_arms_fit_on_a_small_terminal() -> None:
    names = tuple(f"{side}_{name}" for side in ("left", "right") for name in JOINTS)
    joints = tuple(joint(name, 10.0 + i) for i, name in enumerate(names))
    instance = msgspec.structs.replace(INSTANCE, joints=names)
    backend = ScriptedBackend(instance=instance, pictures=False)
    async with running(backend, status(joints=joints), (80, 24)) as (app, _, _):
        seen = words(app)
        for short in ("L pan", "L grip", "R pan", "R grip"):
            assert short in seen


async def test_resizing_from_large_to_small_keeps_everything_on_the_screen() -> None:
    backend = ScriptedBackend()
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first, (160, 45)) as (app, pilot, _):
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.record_screen.has_class("-folded"))
        app.tick()
        await pilot.pause()
        seen = words(app)
        for word in ("SIM", "TELEOP", "E-STOP", "REC", "pan", "episodes", "twin", "overhead"):
            assert word in seen


async def test_a_robot_without_cameras_or_status_still_shows_stop() -> None:
    instance = messages.Instance(
        name="bare",
        pid=1,
        boot_id="b",
        simulated=False,
        joints=JOINTS,
        cameras=(),
        tick_hz=120,
        fps=15,
    )
    async with running(ScriptedBackend(instance=instance)) as (app, _, _):
        seen = words(app)
        assert "REAL ARM" in seen and "E-STOP" in seen and "waiting for the daemon" in seen
