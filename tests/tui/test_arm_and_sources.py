"""Arming with one consent, sources, and the keyboard's turn."""

import math

import msgspec
import pytest
from screen_stage import running, show, until, words
from scripted_robot import JOINTS, POSE, ScriptedBackend, joint, status

from robotd import messages
from robotd.errors import StateError

PASS = messages.Check(name="bus", outcome="pass", detail="6 servos answer")
FAIL = messages.Check(name="voltage", outcome="fail", detail="0.0 V", do="switch the supply on")


def answering(*checks: messages.Check) -> ScriptedBackend:
    data = {"checks": msgspec.to_builtins(checks), "armed": False}
    return ScriptedBackend(pictures=False, answers={messages.Arm: data})


async def test_arming_shows_the_list_and_takes_one_consent() -> None:
    backend = answering(PASS)
    async with running(backend, status()) as (app, pilot, _):
        await pilot.press("a")
        await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.passed)
        assert backend.requests == [messages.Arm(consent=False)]
        assert "6 servos answer" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: messages.Arm(consent=True) in backend.requests)


async def test_a_failed_check_cannot_be_consented_away() -> None:
    backend = answering(PASS, FAIL)
    async with running(backend, status()) as (app, pilot, _):
        await pilot.press("a")
        await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.checked)
        assert "switch the supply on" in words(app)
        await pilot.press("enter")
        await until(pilot, lambda: len(backend.requests) == 2)
    assert messages.Arm(consent=True) not in backend.requests


async def test_closing_the_list_arms_nothing() -> None:
    backend = answering(PASS)
    async with running(backend, status()) as (app, pilot, _):
        await pilot.press("a")
        await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.passed)
        await pilot.press("escape")
        await pilot.pause(0.1)
    assert backend.requests == [messages.Arm(consent=False)]


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_a_refusal_is_shown_with_its_likely_cause_and_its_next_step(
    size: tuple[int, int],
) -> None:
    refusal = StateError("The arm is not armed.", "Nobody armed it.", "Arm it first: a")
    backend = ScriptedBackend(pictures=False, answers={messages.Home: refusal})
    async with running(backend, status(), size) as (app, pilot, _):
        await pilot.press("h")
        await until(pilot, lambda: app.view.note is not None)
        await pilot.pause()
        for part in ("The arm is not armed.", "Nobody armed it.", "Arm it first: a"):
            assert part in words(app)


async def test_a_long_refusal_is_readable_to_its_end_on_a_small_terminal() -> None:
    refusal = StateError(
        "A session is open: it records into local/pick-and-place-of-the-block-number-two.",
        "It was opened by robotd record in another terminal, and it was not closed since.",
        "Close it first: O here, or end robotd record with q. LASTWORD",
    )
    backend = ScriptedBackend(pictures=False, answers={messages.Home: refusal})
    async with running(backend, status(), (80, 24)) as (app, pilot, _):
        await pilot.press("h")
        await until(pilot, lambda: app.view.note is not None)
        await until(pilot, lambda: "LASTWORD" in words(app))
        seen = words(app)
        assert "in another terminal" in seen
        assert "F12" in seen and "pan" in seen and "help" in seen


@pytest.mark.parametrize(
    ("simulated", "state", "source", "leader", "asked"),
    [
        (False, "holding", "hold", True, "leader"),
        (False, "teleop", "leader", True, "keyboard"),
        (False, "teleop", "keyboard", True, "leader"),
        (False, "holding", "hold", False, "keyboard"),
        (True, "holding", "hold", True, "keyboard"),
        (True, "teleop", "keyboard", True, "leader"),
        (True, "teleop", "leader", True, "keyboard"),
        (True, "holding", "hold", None, "keyboard"),
    ],
)
async def test_tab_gives_the_arm_to_the_next_source_the_likely_one_first(
    simulated: bool, state: str, source: str, leader: bool | None, asked: str
) -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(simulated=simulated, state=state, source=source, leader_ready=leader)
    async with running(backend, first) as (_, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: backend.requests == [messages.Teleop(source=asked)])


async def test_the_screen_says_which_command_lets_a_script_record() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", source="keyboard", leader_ready=None)
    async with running(backend, first, (80, 24)) as (app, pilot, _):
        await pilot.press("tab")
        await pilot.pause()
        assert "robotd record --source scripted" in " ".join(words(app).split())
    assert backend.requests == []


def keyboard_has_it(version: int, at: float = 12.4) -> messages.Status:
    joints = tuple(
        joint(n, at if i == 0 else v) for i, (n, v) in enumerate(zip(JOINTS, POSE, strict=True))
    )
    return status(state="teleop", source="keyboard", handover_version=version, joints=joints)


async def test_taking_the_keyboard_moves_nothing_and_each_press_moves_one_step() -> None:
    backend = ScriptedBackend(pictures=False, answers={messages.Teleop: {"handover_version": 9}})
    first = status(state="holding", leader_ready=None)
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: app.acts.turn.waiting)
        await show(app, pilot, backend, keyboard_has_it(9))
        await until(pilot, lambda: len(goals(backend)) > 2)
        assert set(goals(backend)) == {tuple(math.radians(v) for v in POSE)}
        await pilot.press("up")
        wanted = math.radians(POSE[0] + 2.0)
        await until(pilot, lambda: math.isclose(goals(backend)[-1][0], wanted))
        assert goals(backend)[-1][1:] == tuple(math.radians(v) for v in POSE[1:])
        await pilot.press("6", "left_square_bracket", "down")
        wanted = math.radians(POSE[5] - 1.0)
        await until(pilot, lambda: math.isclose(goals(backend)[-1][5], wanted))


def goals(backend: ScriptedBackend) -> list[tuple[float, ...]]:
    return [request.goal_rad for request in backend.requests if isinstance(request, messages.Goal)]


async def test_goals_stop_the_moment_somebody_else_has_the_arm() -> None:
    backend = ScriptedBackend(pictures=False, answers={messages.Teleop: {"handover_version": 9}})
    async with running(backend, status(state="holding", leader_ready=None)) as (app, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: app.acts.turn.waiting)
        await show(app, pilot, backend, keyboard_has_it(9))
        await until(pilot, lambda: bool(goals(backend)))
        await show(app, pilot, backend, keyboard_has_it(10))
        assert app.view.jog is None
        assert "Tab takes it again" in words(app)
        await pilot.pause(0.1)
        sent = len(goals(backend))
        await pilot.pause(0.2)
        assert len(goals(backend)) == sent
        assert "no longer has the arm" in words(app)


async def test_a_refused_goal_ends_the_turn() -> None:
    refusal = StateError("The arm is not keyboard's.", "It was taken away.", "Ask for it again.")
    backend = ScriptedBackend(
        pictures=False,
        answers={messages.Teleop: {"handover_version": 9}, messages.Goal: refusal},
    )
    async with running(backend, status(state="holding", leader_ready=None)) as (app, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: app.acts.turn.waiting)
        await show(app, pilot, backend, keyboard_has_it(9))
        await until(pilot, lambda: app.view.jog is None)
        assert len(goals(backend)) == 1


async def test_jog_keys_do_nothing_before_the_keyboard_has_the_arm() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("up", "3", "right_square_bracket")
        assert "Tab gave the arm to the keyboard" in words(app)
    assert backend.requests == []


async def test_p_runs_the_loaded_policy_and_asks_for_one_when_there_is_none() -> None:
    backend = ScriptedBackend(pictures=False)
    ready = status(state="holding", policy=messages.PolicyStatus(phase="ready", kind="act"))
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("p")
        await pilot.pause()
        assert "Checkpoint folder" in words(app)
        await pilot.press("escape")
        await show(app, pilot, backend, ready)
        await pilot.press("p")
        await until(pilot, lambda: backend.requests == [messages.RunPolicy()])


async def test_a_real_arm_is_given_to_an_unrehearsed_policy_only_after_a_question() -> None:
    backend = ScriptedBackend(pictures=False)
    new = messages.PolicyStatus(
        phase="ready", kind="act", rehearsal="never rehearsed", rehearsal_do="robotd rehearse P"
    )
    real = status(state="holding", simulated=False, policy=new)
    async with running(backend, real) as (app, pilot, _):
        await pilot.press("p")
        await pilot.pause()
        assert "robotd rehearse P" in words(app)
        await pilot.press("n")
        await pilot.pause()
        assert backend.requests == []
        await pilot.press("p")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: backend.requests == [messages.RunPolicy(unrehearsed=True)])


async def test_a_policy_whose_probe_failed_is_given_the_arm_only_after_a_question() -> None:
    backend = ScriptedBackend(pictures=False)
    failed = messages.PolicyStatus(
        phase="ready",
        kind="act",
        probed="fail",
        probe="FAILED on blocks: polarity.",
        probe_do="Turn it back.",
    )
    async with running(backend, status(state="holding", policy=failed)) as (app, pilot, _):
        assert "FAILED on blocks" in words(app)
        await pilot.press("p")
        await pilot.pause()
        assert "Turn it back." in words(app)
        await pilot.press("n")
        await pilot.pause()
        assert backend.requests == []
        await pilot.press("p")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: backend.requests == [messages.RunPolicy(despite_probe=True)])


async def test_a_shadow_that_goes_on_is_shown_with_what_the_twin_refused_and_why() -> None:
    backend = ScriptedBackend(pictures=False)
    shadow = messages.ShadowStatus(
        phase="running", elapsed_s=12.0, seconds=40.0, chunks=18, refused=2, reasons={"far": 2}
    )
    async with running(backend, status(state="disarmed", shadow=shadow)) as (app, _, _):
        shown = words(app)
        assert "in shadow 12 of 40 s" in shown and "18 chunks" in shown
        assert "2 refused" in shown and "far" in shown


async def test_tab_is_not_advised_where_it_could_do_nothing() -> None:
    backend = ScriptedBackend(pictures=False, answers={messages.Teleop: {"handover_version": 9}})
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: app.acts.turn.waiting)
        await show(app, pilot, backend, keyboard_has_it(9))
        await show(app, pilot, backend, status(state="fault", source="keyboard"))
        assert "no longer has the arm" in words(app) and "Tab takes it" not in words(app)


async def test_a_state_without_joints_in_the_keyboards_turn_moves_nothing_and_breaks_nothing() -> (
    None
):
    backend = ScriptedBackend(pictures=False, answers={messages.Teleop: {"handover_version": 9}})
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("tab")
        await until(pilot, lambda: app.acts.turn.waiting)
        await show(app, pilot, backend, keyboard_has_it(9))
        bare = msgspec.structs.replace(keyboard_has_it(9), joints=())
        await show(app, pilot, backend, bare)
        await pilot.press("up")
        await pilot.pause()
        assert app.is_running and "no joint was read yet" in words(app)
