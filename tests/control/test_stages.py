"""What a tick costs and what the line loses: counted rightly, and in memory that does not grow."""

import gc
import sys
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.control.leader import LeaderArm
from daemon.control.stages import StageTimes
from daemon.control.timing import Schedule, goal_phase_ns, missed_between
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.errors import BusError
from robotd.histogram import Histogram
from robotd.layouts import STAGES, timing_layout
from robotd.states import RequestKind, Source, State
from sim.plant.world_messages import SetFault

from .conftest import RAISED_RAD, Bench

# What judges values must not fail on a busy machine.
AT_ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TICK_US = 20  # what counting and publishing may add to a tick


def record(bench: Bench) -> dict[str, object]:
    return timing_layout(6).unpack(bench.core.times.packed(1, 0))


def counted(bench: Bench, stage: str) -> int:
    return bench.core.times.histograms[stage].count


# --- deadlines ------------------------------------------------------------------------------------


@AT_ANY_LOAD
@given(
    st.integers(0, 10**15),
    st.sampled_from([30, 100, 120, 250]),
    st.integers(0, 10**6),
    st.integers(-(10**7), 10**10),
)
def test_the_next_tick_is_never_more_than_a_period_late_and_never_done_twice(
    start_ns: int, tick_hz: int, done: int, behind_ns: int
) -> None:
    """A stall must not be followed by a burst, and no tick may run again."""
    schedule = Schedule(start_ns, tick_hz)
    now_ns = schedule.deadline_ns(done) + behind_ns
    upcoming = schedule.next_index(done, now_ns)
    assert upcoming > done
    assert now_ns - schedule.deadline_ns(upcoming) < NS_PER_S / tick_hz + 1
    # Nothing is skipped while the tick after it is still to come. (Deadlines are rounded down.)
    assert missed_between(done, upcoming) == 0 or schedule.deadline_ns(upcoming) <= now_ns
    assert missed_between(done, upcoming) == upcoming - done - 1


# --- stages ---------------------------------------------------------------------------------------


def took(times: StageTimes, at_ms: float, looking: bool = False) -> None:
    """A tick due at `at_ms`: 1 ms late, then 2, 3, 4, 5, 6 ms for its five stages, and 1 ms in which
    its goal waits."""
    ms = 1_000_000
    due = round(at_ms * ms)
    times.took(
        deadline_ns=due,
        began_ns=due + ms,
        read_ns=due + 3 * ms,
        gated_ns=due + 6 * ms,
        waited_ns=due + 7 * ms,
        written_ns=due + 11 * ms,
        back_ns=due + 16 * ms,
        ended_ns=due + 22 * ms,
        complete=True,
        looking=looking,
    )


def test_every_stage_is_the_time_between_its_own_stamps() -> None:
    times = StageTimes((), (), 100)
    for tick in range(4):
        took(times, tick * 30.0)
    said = {stage: h.maximum for stage, h in times.histograms.items()}
    assert said == {
        "late": 1_000,
        "read": 2_000,
        "gate": 3_000,
        "write": 4_000,
        "read_back": 5_000,
        "publish": 6_000,
        "work": 20_000,
        "period": 30_000,
    }
    assert "4 ticks, 0 missed" in times.words()


def test_the_arming_list_does_not_spoil_the_figures_of_the_loop() -> None:
    times = StageTimes((), (), 100)
    took(times, 0.0)
    for tick in range(1, 50):
        took(times, tick * 400.0, looking=True)
    took(times, 50 * 400.0)
    assert {
        h.count for stage, h in times.histograms.items() if stage not in ("late", "period")
    } == {2}
    assert times.histograms["period"].maximum == 0


def test_what_control_publishes_is_what_it_counted(bench: Bench) -> None:
    bench.run(1.0)
    published = bench.exchange.last_timing
    assert published is not None
    said = timing_layout(6).unpack(published)
    assert 90 <= said["ticks"] < 120  # four times a second
    bench.core.close()
    last = timing_layout(6).unpack(bench.exchange.last_timing or b"")
    assert last["ticks"] == counted(bench, "work") == 120
    assert Histogram.of(last["work"]).count == 120
    assert set(STAGES) <= set(last)


# --- the line -------------------------------------------------------------------------------------


def test_a_lost_reply_is_counted_for_the_servo_that_lost_it(bench: Bench) -> None:
    bench.run(0.5)
    bench.world.plant.handle(SetFault(servo_id=3, kind="mute", replies=5))
    bench.run(0.5)
    said = record(bench)
    assert said["lost"] == (0, 0, 5, 0, 0, 0)
    assert said["coasted"] == 5
    assert said["reopened"] == 0


def test_an_unplugged_adapter_is_not_the_servos_fault(bench: Bench) -> None:
    """Six servos named as losing replies would send a person to the wrong cable."""
    bench.run(0.5)
    bench.core.arms[0].link.lost(BusError("gone", "unplugged", "plug it in"))
    bench.run(0.1)
    said = record(bench)
    assert (said["lost"], said["coasted"], said["reopened"]) == ((0,) * 6, 12, 0)
    bench.run(0.5)
    assert record(bench)["reopened"] == 1
    assert record(bench)["lost"] == (0,) * 6


def test_a_leaders_lost_replies_stand_beside_its_own_arm(bench: Bench) -> None:
    follower = bench.core.arms[0]
    leader = LeaderArm(follower.name, follower.link, follower.joint_map)
    times = StageTimes(bench.core.arms, [leader], 120)
    leader.take({})
    took(times, 0.0)
    said = timing_layout(6).unpack(times.packed(1, 0))
    assert (said["leader_lost"], said["lost"]) == ((1,) * 6, (0,) * 6)
    assert Histogram.of(said["late"]).count == 0  # the first tick's lateness is its start's
    assert Histogram.of(said["read"]).maximum == 2_000


# --- nothing grows --------------------------------------------------------------------------------


def test_counting_and_publishing_cost_a_tick_next_to_nothing() -> None:
    """Best of many on purpose: this is about the work itself, not about the machine's load."""
    times = StageTimes((), (), 120)
    best_us = float("inf")
    for start in range(50):
        began = time.perf_counter_ns()
        for tick in range(start * 30, start * 30 + 30):
            took(times, tick * 8.3)
        times.packed(1, 0)
        best_us = min(best_us, (time.perf_counter_ns() - began) / 30 / 1000)
    assert best_us < TICK_US


def test_thousands_of_ticks_leave_no_garbage_and_no_memory_behind(bench: Bench) -> None:
    """The loop runs with the collector off: a cycle a tick would fill the memory of an afternoon."""
    bench.armed()
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)

    def move(ticks: int) -> None:
        for number in range(ticks // 24):
            pose = RAISED_RAD if number % 10 < 5 else (0.0, -0.6, 0.4, 0.4, 0.1, 0.2)
            bench.send(pose, seconds=0.2)
        assert bench.core.state is State.TELEOP

    gc.collect()
    gc.disable()
    try:
        # The interpreter keeps up to 2,000 freed tuples of a size for later: let it have them now.
        kept = [tuple(range(size)) for size in range(1, 20) for _ in range(2_500)]
        kept.clear()
        move(1_200)  # until every history is full
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        move(2_400)
        more_objects = len(gc.get_objects()) - objects
        more_blocks = sys.getallocatedblocks() - blocks
    finally:
        gc.enable()
    # An object kept in each tick would be 2,400.
    assert more_objects < 100
    assert more_blocks < 100


# --- the goal's moment ----------------------------------------------------------------------------


@given(st.integers(500_000, 20_000_000), st.sampled_from([20, 30, 100, 120, 250, 500]))
def test_a_goal_leaves_after_the_last_reply_and_before_the_period_is_over(
    read_deadline_ns: int, tick_hz: int
) -> None:
    phase_ns = goal_phase_ns(read_deadline_ns, tick_hz)
    period_ns = NS_PER_S // tick_hz
    assert 0 <= phase_ns <= period_ns - NS_PER_MS
    assert phase_ns > read_deadline_ns or phase_ns == period_ns - NS_PER_MS


def test_goals_leave_at_one_moment_of_their_tick_whatever_the_line_does(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.HOME)
    bench.world.plant.handle(SetFault(servo_id=3, kind="silent", replies=9))
    moments = set()
    for _ in range(60):
        bench.run(1 / 120)
        if bench.tick["write_ns"]:
            moments.add(bench.tick["write_ns"] - bench.tick["deadline_ns"])
    assert moments == {goal_phase_ns(4 * NS_PER_MS, 120)}
