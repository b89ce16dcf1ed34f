"""A person's hand in the cell, and a supply that is not the servos': read from the virtual arm."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.control import ceiling
from daemon.control.exchange import SharedExchange
from daemon.control.soft_start import SoftStart
from daemon.control.supply import SupplyWatch
from daemon.supervisor.control_link import ControlWriter
from learning.world import LockStepWorld, lockstep_config
from robotd.clock import NS_PER_S
from robotd.states import Fault, LimitedBy, RequestKind, Source, State

from .conftest import RAISED_RAD, Bench

TORQUE_LIMIT = 48
RESET_PERMILLE = 450
DT_S = 1 / 120


def limits(bench: Bench) -> list[int]:
    """Register 48 of the six servos."""
    found = [bench.memory(servo)[TORQUE_LIMIT : TORQUE_LIMIT + 2] for servo in range(1, 7)]
    return [memory[0] | memory[1] << 8 for memory in found]


def brick(bench: Bench, volts: float) -> None:
    """Plug another supply into the arm."""
    bench.world.plant.world.arms["follower"].supply.open_circuit_v = volts


# --- ceilings -------------------------------------------------------------------------------------

bounds = st.tuples(*[st.one_of(st.floats(0, 1000), st.just(math.nan))] * 6)


@given(bounds, st.lists(st.one_of(st.none(), bounds), max_size=4))
def test_the_ceiling_in_force_is_never_above_any_of_the_bounds(
    working: tuple[float, ...], caps: list[tuple[float, ...] | None]
) -> None:
    found = ceiling.in_force(working, *caps)
    for joint, value in enumerate(found):
        assert value >= 0.0
        for bound in (working, *caps):
            assert bound is None or not value > bound[joint]


def test_a_limit_goes_to_its_ceiling_by_a_ramp_and_stays_there() -> None:
    now = (1000.0, 200.0)
    steps = []
    for _ in range(300):
        now = ceiling.follow(now, (450.0, 450.0), DT_S)
        steps.append(now)
    assert abs(steps[0][0] - 1000.0) < 5.0 and abs(steps[0][1] - 200.0) < 10.0
    assert steps[-1] == (450.0, 450.0)


# --- the reset phase ------------------------------------------------------------------------------


def test_between_episodes_the_arm_holds_with_reduced_torque_and_stays_up(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.HOLD)
    bench.run(1.0)
    before = bench.pose_rad()
    bench.exchange.between_episodes = True
    bench.run(1 / 120)
    assert max(limits(bench)) > RESET_PERMILLE  # by a ramp, not by a blow
    bench.run(2.5)
    assert limits(bench) == [RESET_PERMILLE] * 6
    sunk = max(abs(a - b) for a, b in zip(before, bench.pose_rad(), strict=True))
    assert sunk < math.radians(0.5)
    assert bench.core.state is State.HOLDING


def test_whoever_takes_the_arm_after_a_reset_waits_for_its_strength_and_then_begins_slowly(
    bench: Bench,
) -> None:
    bench.raised()
    bench.ask(RequestKind.HOLD)
    bench.exchange.between_episodes = True
    bench.run(2.5)
    still = bench.tick["applied_rad"]
    bench.exchange.between_episodes = False
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
    moved_weak, waited = 0.0, LimitedBy.NOTHING
    goal = (0.6, *RAISED_RAD[1:])
    while min(limits(bench)[:5]) < 1000:
        bench.send(goal, seconds=1 / 30)
        weak = min(limits(bench)[:5]) < 950  # the tick in which it arrives may begin to move
        shift = max(abs(a - b) for a, b in zip(still, bench.tick["applied_rad"], strict=True))
        moved_weak = max(moved_weak, shift if weak else 0.0)
        waited |= bench.tick["limited_by"][0]
    assert moved_weak == 0.0
    assert LimitedBy.TORQUE in waited  # said, not only done
    bench.send(goal, seconds=2.0)
    assert abs(bench.tick["applied_rad"][0] - 0.6) < 0.01


def test_a_reset_phase_does_not_weaken_an_arm_that_somebody_moves(bench: Bench) -> None:
    bench.raised()
    bench.exchange.between_episodes = True
    bench.send(RAISED_RAD, seconds=1.5)
    assert limits(bench)[:5] == [1000] * 5


def test_control_hears_of_the_reset_phase_through_the_heartbeat(tmp_path: Path) -> None:
    writer, exchange = ControlWriter(tmp_path, 6), SharedExchange(tmp_path, 6)
    assert not exchange.reset_phase()
    writer.beat(1, 1, reset_phase=True)
    assert exchange.reset_phase()
    writer.beat(2, 1)
    assert not exchange.reset_phase()
    exchange.close()
    writer.close()


def test_a_hand_over_begins_slowly() -> None:
    soft = SoftStart(NS_PER_S // 2)
    shares = [soft.share(NS_PER_S, False, NS_PER_S + k * NS_PER_S // 8) for k in range(6)]
    assert shares == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert soft.share(NS_PER_S, True, 3 * NS_PER_S) == 0.0  # weak again: nothing moves
    assert soft.share(NS_PER_S, False, 3 * NS_PER_S + NS_PER_S // 4) == pytest.approx(0.5)


# --- the supply -----------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([3.0, 12.0, 15.0, math.nan, None]), max_size=400))
def test_only_a_voltage_that_stays_outside_is_a_fault(volts: list[float | None]) -> None:
    watch = SupplyWatch(0.25, 1.0, DT_S)
    longest = 0
    for volt in volts:
        finding = watch.look([volt] * 6, [(4.0, 14.0)] * 6, armed=True)
        longest = 0 if volt in (12.0, None) else longest + 1
        if longest >= 120:
            assert finding is not None
            assert finding.fault is Fault.SUPPLY_VOLTAGE
    if sum(volt not in (12.0, None) for volt in volts) < 30:
        assert watch.steady


def test_dips_of_a_tenth_of_a_second_are_ridden_over_and_half_of_the_time_is_not_a_dip() -> None:
    watch = SupplyWatch(0.25, 1.0, DT_S)
    seconds = [3.5 if tick % 60 < 12 else 12.0 for tick in range(1200)]
    assert all(watch.look([v] * 6, [(4.0, 14.0)] * 6, armed=True) is None for v in seconds)
    found = [watch.look([3.5] * 6, [(4.0, 14.0)] * 6, armed=True) for _ in range(125)]
    assert found[-1] is not None


def test_an_overvoltage_holds_the_arm_and_then_is_a_fault_with_a_joint(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
    brick(bench, 15.5)
    bench.send((0.9, *RAISED_RAD[1:]), seconds=0.6)
    assert all(LimitedBy.SUPPLY in LimitedBy(flag) for flag in bench.tick["limited_by"])
    bench.until(State.FAULT, seconds=2.0)
    assert bench.core.fault.fault is Fault.SUPPLY_VOLTAGE
    assert bench.torque() == [1] * 6  # it holds: dropping the arm mends no voltage
    brick(bench, 12.0)
    bench.run(0.5)
    bench.ask(RequestKind.CLEAR)
    bench.run(1.0)
    assert bench.core.state is State.HOLDING


def test_a_brick_of_the_wrong_kit_and_servos_of_the_wrong_kind_forbid_arming(bench: Bench) -> None:
    brick(bench, 15.5)
    bench.run(0.5)
    bench.ask(RequestKind.ARM)
    bench.run(1.5)
    assert bench.core.state is State.DISARMED
    lines = {check.name: check for check in bench.exchange.reports[-1][1]}
    assert lines["supply"].outcome == "fail"
    assert "15.5 V" in lines["supply"].detail
    assert bench.torque() == [0] * 6


def weak_config(believed: str, real: str):  # type: ignore[no-untyped-def]
    config = lockstep_config()
    arms = {
        name: msgspec.structs.replace(arm, supply=believed) for name, arm in config.arms.items()
    }
    assert config.simulation is not None
    simulation = msgspec.structs.replace(config.simulation, supply=real)
    return msgspec.structs.replace(config, arms=arms, simulation=simulation)


def test_an_arm_set_up_for_another_kind_of_servo_is_not_armed() -> None:
    world = LockStepWorld(weak_config("12V", "7.4V"), seed=0, plant_seed=1)
    world.exchange.ask(RequestKind.ARM)
    for _ in range(240):
        world.tick()
    supply = {check.name: check for check in world.exchange.reports[-1][1]}["supply"]
    assert supply.outcome == "fail"
    assert "7.4V servos" in supply.detail and "12V" in supply.detail and "7.4V" in supply.do
    world.close()


@pytest.mark.parametrize("kind", ["7.4V", "5V"])
def test_a_weaker_kit_is_armed_and_moves_within_what_its_servos_can_do(kind: str) -> None:
    world = LockStepWorld(weak_config(kind, kind), seed=0, plant_seed=1)
    world.arm_and_home()
    arm = world.core.arms[0]
    assert arm.variant is not None and arm.variant.name == kind
    assert max(arm.limits.speed_rad_s) <= 2 / 3 * arm.variant.no_load_rad_s + 1e-9
    assert min(arm.reset_torque_permille[:5]) > RESET_PERMILLE  # as many newton metres
    home = world.config.poses.home_deg
    error = [abs(math.degrees(a) - b) for a, b in zip(arm.position_rad[:5], home[:5], strict=True)]
    assert max(error) < 15.0  # a 7.4 V servo on 5 V sags 11 on the elbow: soft, and held
    world.close()
