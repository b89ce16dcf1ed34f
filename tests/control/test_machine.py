"""The whole table of states and events, exhaustively."""

import itertools

import pytest

from daemon.control.machine import Event, Facts, Refusal, TorqueRule, next_state, torque_rule
from robotd.states import Fault, HomeWay, State

FACTS = [
    Facts(park_clear, torque, fault, home_way)
    for park_clear, torque, fault, home_way in itertools.product(
        (False, True), (False, True), (Fault.NONE, Fault.BUS_LOST, Fault.STALLED), HomeWay
    )
]
EVERYTHING = list(itertools.product(State, Event, FACTS))


def test_every_state_takes_or_refuses_every_event() -> None:
    for state, event, facts in EVERYTHING:
        assert isinstance(next_state(state, event, facts), State | Refusal)


def test_an_estop_is_taken_in_every_state_and_only_a_clear_leaves_it() -> None:
    for state, facts in itertools.product(State, FACTS):
        assert next_state(state, Event.ESTOP, facts) is State.ESTOP
    for event, facts in itertools.product(Event, FACTS):
        after = next_state(State.ESTOP, event, facts)
        left = after is not State.ESTOP and not isinstance(after, Refusal)
        assert not left or (event is Event.CLEAR and after is State.DISARMED)


def test_nothing_but_arming_leads_from_limp_to_torque() -> None:
    for event, facts in itertools.product(Event, FACTS):
        after = next_state(State.DISARMED, event, facts)
        if isinstance(after, State) and torque_rule(after) is not TorqueRule.UNTOUCHED:
            assert (after, event) in {
                (State.ARMING, Event.ARM),
                (State.RELEASING, Event.DISARM),
                (State.RELEASING, Event.RELEASE),
                (State.RELEASING, Event.SUPERVISOR_GONE),
                (State.ESTOP, Event.ESTOP),
            }


def test_a_source_gets_the_arm_only_when_it_is_armed() -> None:
    for state, event, facts in EVERYTHING:
        after = next_state(state, event, facts)
        if isinstance(after, State) and after in (State.TELEOP, State.POLICY, State.REPLAY):
            assert state.armed


def test_a_fault_is_latched_until_a_person_clears_it_or_lets_the_arm_down() -> None:
    for event, facts in itertools.product(Event, FACTS):
        after = next_state(State.FAULT, event, facts)
        if isinstance(after, State) and after is not State.FAULT:
            assert event in {
                Event.CLEAR,
                Event.DISARM,
                Event.RELEASE,
                Event.ESTOP,
                Event.SUPERVISOR_GONE,
            }


def test_after_a_lost_bus_the_arm_is_attached_anew_not_resumed() -> None:
    lost = Facts(holds_torque=True, fault=Fault.BUS_LOST)
    assert next_state(State.FAULT, Event.CLEAR, lost) is State.DISARMED
    stalled = Facts(holds_torque=True, fault=Fault.STALLED)
    assert next_state(State.FAULT, Event.CLEAR, stalled) is State.HOLDING


@pytest.mark.parametrize("state", [s for s in State if s.armed and s is not State.PARKING])
def test_a_disarm_parks_only_where_the_twin_sees_the_way_clear(state: State) -> None:
    assert next_state(state, Event.DISARM, Facts(park_clear=True)) is State.PARKING
    assert next_state(state, Event.DISARM, Facts(park_clear=False)) is State.RELEASING


def test_a_stiff_arm_found_after_a_crash_is_let_down_when_asked() -> None:
    stiff = Facts(holds_torque=True)
    assert next_state(State.DISARMED, Event.DISARM, stiff) is State.RELEASING
    assert next_state(State.DISARMED, Event.DISARM, Facts()) is State.DISARMED


def test_no_arm_is_sent_home_where_the_twin_sees_no_way() -> None:
    for state in (each for each in State if each.armed):
        ways = {way: next_state(state, Event.HOME, Facts(home_way=way)) for way in HomeWay}
        assert isinstance(ways[HomeWay.BLOCKED], Refusal)
        assert {ways[way] for way in HomeWay if way is not HomeWay.BLOCKED} == {State.HOMING}
