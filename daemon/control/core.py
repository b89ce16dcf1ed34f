"""One tick of control: read, judge, decide, gate, write, publish. The heart of robotd.

`ControlCore.tick` runs on the arm, in `--sim` and in lock-step alike; time, buses and the other
processes are passed in. It waits for nothing but the servos' replies, and for those no longer than
the read deadline.
"""

import logging
from collections.abc import Callable, Sequence

from daemon.control import watch
from daemon.control.arm import FollowerArm
from daemon.control.arming_run import Arming, ArmingRun
from daemon.control.bounded import BoundedTorque
from daemon.control.exchange import ControlRequest, Exchange
from daemon.control.gate import Applied, GateState
from daemon.control.leader import LeaderArm
from daemon.control.letdown import LetDown
from daemon.control.limiting import Limiting
from daemon.control.machine import Event, Facts, Refusal, next_state
from daemon.control.pilot import Pilot
from daemon.control.readout import Readout
from daemon.control.record import TickEvidence, tick_record, torque_of
from daemon.control.settings import CoreSettings
from daemon.control.sources import Followed, Handover
from daemon.control.stages import StageTimes
from daemon.control.timing import goal_phase_ns, missed_between
from daemon.control.warm import rehearse
from robotd.clock import NS_PER_MS, Clock
from robotd.errors import BusError
from robotd.messages import Check
from robotd.states import Fault, RequestKind, Source, State, Torque

log = logging.getLogger(__name__)

ESTOP_FREEZE_NS = 200 * NS_PER_MS
_SLOW_READS_HZ = 12
_ARMED_SLOW_READS_HZ = 30  # a servo that restarts is found within 0.2 s
_HOT_C = 3.0  # above the stopping temperature: the servo's own cut-off drops the arm soon after
_UNREACHABLE_S = 10
# Nothing is driven, or the arm is on its way down already: a lost read only delays that.
_UNJUDGED = (State.DISARMED, State.FAULT, State.ESTOP, State.RELEASING)

_EVENTS = {
    RequestKind.ARM: Event.ARM,
    RequestKind.DISARM: Event.DISARM,
    RequestKind.RELEASE: Event.RELEASE,
    RequestKind.CLEAR: Event.CLEAR,
    RequestKind.HOLD: Event.HOLD,
    RequestKind.HOME: Event.HOME,
    RequestKind.TELEOP: Event.TELEOP,
    RequestKind.POLICY: Event.POLICY,
    RequestKind.REPLAY: Event.REPLAY,
    RequestKind.CORRECT: Event.CORRECT,
    RequestKind.STOP: Event.DISARM,
}


class ControlCore:
    """The state of control between ticks."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        exchange: Exchange,
        clock: Clock,
        settings: CoreSettings,
        arming: Arming,
    ) -> None:
        self.arms = tuple(arms)
        self.leaders = tuple(leaders)
        self.state = State.DISARMED
        self.fault = watch.Finding(Fault.NONE, -1)
        self.handover = Handover(0, 0, Source.NONE)
        self.stopped = False
        self._exchange = exchange
        self._clock = clock
        self._settings = settings
        self._arming = ArmingRun(arming, self.arms, self.leaders, settings, exchange)
        dt_s = 1.0 / settings.tick_hz
        self._readout = Readout(self.arms, self.leaders, lambda: rehearse(self.arms, dt_s))
        self.times = StageTimes(self.arms, self.leaders, settings.tick_hz)
        self._pilot = Pilot(self.arms, self.leaders, exchange, settings)
        self._down = LetDown(self.arms, settings.release_speed_rad_s, 1.0 / settings.tick_hz)
        self._bounded = BoundedTorque(self.arms, 1.0 / settings.tick_hz)
        self._limiting = Limiting(self.arms, settings)
        self._goal_phase_ns = goal_phase_ns(settings.read_deadline_ns, settings.tick_hz)
        self._estop_ns = 0
        self._presses = exchange.estop_presses()
        self._last_request = 0
        self._stopping = False
        self._gone_since_ns = 0
        self._ticks = 0
        self._missed = 0
        self._index = -1
        self._complaint = ""

    @property
    def torque(self) -> Torque:
        """What the servos of all arms said of torque, in one word."""
        return torque_of(self.arms)

    def stop(self, now_ns: int) -> None:
        """Like a STOP request: park if the way is clear, let the arm down, then `stopped`."""
        if not self._stopping:
            self._stopping = True
            self._happen(Event.DISARM, now_ns)

    def release(self, now_ns: int) -> None:
        """Let the arm down where it is, then `stopped`: for a loop that cannot go on."""
        self._stopping = True
        self._happen(Event.RELEASE, now_ns)

    def close(self) -> None:
        """Publish the last figures and give the serial devices back."""
        self._exchange.publish_timing(self.times.packed(self._clock.now_ns(), self._missed))
        self._readout.close()

    # --- the tick ---------------------------------------------------------------------------------

    def tick(self, index: int, deadline_ns: int) -> None:
        """Do tick `index`, due at `deadline_ns`. Never raises for what a servo or cable does."""
        began_ns = self._clock.now_ns()
        if self._index >= 0 and not self._arming.active:
            # Looking at registers takes whole ticks; nothing moves then, so those do not count.
            self._missed += missed_between(self._index, index)
        self._index = index
        self._ticks += 1
        self._hear(deadline_ns)
        looking = self._arming.active
        complete = self._readout.read(began_ns + self._settings.read_deadline_ns)
        read_ns = self._clock.now_ns()
        self._judge(deadline_ns)
        followed = self._decide(deadline_ns)
        applied = self._limiting.apply(
            followed.asked,
            self.state.armed,
            self._bounded.rising,
            self.handover.at_ns,
            deadline_ns,
        )
        gated_ns = waited_ns = self._clock.now_ns()
        if self.state.armed:
            self._clock.sleep_until_ns(deadline_ns + self._goal_phase_ns)
            waited_ns = self._clock.now_ns()
        wrote = self._write(applied, deadline_ns)
        written_ns = self._clock.now_ns()
        slow_hz = _ARMED_SLOW_READS_HZ if self.state.armed else _SLOW_READS_HZ
        slow = self._ticks % max(1, self._settings.tick_hz // slow_hz) == 0
        if slow:
            for arm in self.arms:
                arm.read_slow()
        back_ns = self._clock.now_ns() if slow else written_ns
        self._exchange.publish(
            tick_record(
                TickEvidence(
                    index=index,
                    deadline_ns=deadline_ns,
                    began_ns=began_ns,
                    read_ns=read_ns,
                    gated_ns=gated_ns,
                    waited_ns=waited_ns,
                    written_ns=written_ns,
                    wrote=wrote,
                    state=self.state,
                    fault=self.fault,
                    handover=self.handover,
                    followed=followed,
                    complete=complete,
                    degraded=any(
                        watch.degraded(arm.views(), self._settings.degraded_after)
                        for arm in self.arms
                    ),
                    missed_ticks=self._missed,
                    presses=self._presses,
                    last_request=self._last_request,
                    park_clear=self._exchange.park_clear(read_ns),
                    home_way=self._exchange.home_way(read_ns),
                ),
                self.arms,
                self.leaders,
                followed.asked,
                applied,
            )
        )
        if self.times.due:
            self._exchange.publish_timing(self.times.packed(back_ns, self._missed))
        self.times.took(
            deadline_ns=deadline_ns,
            began_ns=began_ns,
            read_ns=read_ns,
            gated_ns=gated_ns,
            waited_ns=waited_ns,
            written_ns=written_ns,
            back_ns=back_ns,
            ended_ns=self._clock.now_ns(),
            complete=complete,
            looking=looking,
        )

    # --- hearing ----------------------------------------------------------------------------------

    def _hear(self, now_ns: int) -> None:
        """The e-stop before any broker, then requests, then whether the supervisor lives."""
        presses = self._exchange.estop_presses()
        if presses > self._presses:
            if self.state is State.ESTOP or presses > self._presses + 1:
                self._down.limp_now()
            self._presses = presses
            self._happen(Event.ESTOP, now_ns)
        for request in self._exchange.requests():
            self._take(request, now_ns)
        stamp_ns = self._exchange.supervisor_stamp_ns()
        if stamp_ns is None or now_ns - stamp_ns < self._settings.supervisor_stale_ns:
            self._gone_since_ns = 0
            return
        if self._gone_since_ns == 0:
            self._gone_since_ns = now_ns
            log.error("the supervisor is silent; holding")
            if self.state.moving and self.state is not State.PARKING:
                self._happen(Event.HOLD, now_ns)
        if now_ns - self._gone_since_ns >= self._settings.supervisor_gone_hold_ns:
            self._happen(Event.SUPERVISOR_GONE, now_ns)
            self._stopping = True
            self.stopped = self._at_rest()

    def _take(self, request: ControlRequest, now_ns: int) -> None:
        self._last_request = request.id
        if request.kind is RequestKind.STOP:
            self._stopping = True
        if request.kind in (RequestKind.ARM, RequestKind.CHECK):
            self._arming.request = request.id
        if request.kind is RequestKind.CHECK:
            self._check()
        else:
            self._happen(_EVENTS[request.kind], now_ns, request.source)

    def _check(self) -> None:
        """Begin the arming list without consent; only a limp, idle loop has the time for it."""
        if self.state is State.DISARMED:
            self._arming.begin(consent=False)
            return
        detail = f"the arm is {self.state.name.lower()}"
        self._arming.report(Check(name="state", outcome="pass", detail=detail))

    def _happen(self, event: Event, now_ns: int, source: Source = Source.NONE) -> None:
        """Apply an event to the state machine and do what entering the new state takes."""
        facts = Facts(
            park_clear=self._exchange.park_clear(now_ns),
            home_way=self._exchange.home_way(now_ns),
            holds_torque=not all(arm.released for arm in self.arms),
            fault=self.fault.fault,
        )
        after = next_state(self.state, event, facts)
        if isinstance(after, Refusal):
            log.info("%s refused in %s: %s", event.value, self.state.name, after.why)
            return
        if after is self.state and event not in _NEW_HANDOVER:
            return
        log.info("%s -> %s (%s)", self.state.name, after.name, event.value)
        self.state = after
        self._enter(event, source, now_ns)

    def _enter(self, event: Event, source: Source, now_ns: int) -> None:
        state = self.state
        if state is not State.ARMING:
            self._arming.cancel()
        if event in _NEW_HANDOVER:
            owner = _OWNERS.get(event, source)
            self.handover = Handover(self.handover.version + 1, now_ns, owner)
            self._pilot.reset()
        elif not state.moving:
            # Whatever was computed for the old source must not move the arm again later.
            self.handover = Handover(self.handover.version + 1, now_ns, Source.NONE)
        if state is State.ARMING:
            self.fault = watch.Finding(Fault.NONE, -1)
            self._arming.begin(consent=True)
        elif state in (State.HOMING, State.PARKING):
            self._pilot.set_out(state, now_ns)
        elif state is State.RELEASING:
            self._down.begin()
        elif state is State.ESTOP:
            self._estop_ns = now_ns
            self._down.begin()
        elif state is State.FAULT:
            self._try(self._bounded.bound)
        elif event is Event.CLEAR:
            self.fault = watch.Finding(Fault.NONE, -1)
            if state is State.HOLDING:
                self._bounded.retarget()

    # --- judging ----------------------------------------------------------------------------------

    def _judge(self, now_ns: int) -> None:
        if self.state is State.FAULT:
            self._judge_faulted(now_ns)
        if self.state in _UNJUDGED or self._arming.looking:
            return
        found = self._limiting.finding(self.state, self._exchange.twin_finding(), now_ns)
        if found is not None:
            self._fault(found, now_ns)

    def _fault(self, finding: watch.Finding, now_ns: int) -> None:
        self.fault = finding
        log.error("%s at joint %d", finding.fault.name, finding.joint)
        self._happen(Event.FAULT, now_ns)

    def _judge_faulted(self, now_ns: int) -> None:
        """A latched fault waits for a person, except where waiting would drop the arm."""
        hot = any(max(arm.temperatures_c()) >= arm.limits.stop_at_c + _HOT_C for arm in self.arms)
        if hot and self.fault.fault is Fault.OVERHEATED:
            log.error("still heating: letting the arm down before the servo cuts out")
            self._happen(Event.RELEASE, now_ns)
        elif self._stopping:
            self._happen(Event.RELEASE, now_ns)

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self, deadline_ns: int) -> Followed:
        """What the active source asks for; a path walked to its end is an event."""
        followed, finished = self._pilot.follow(self.state, self.handover, deadline_ns)
        if finished:
            self._happen(Event.MOVE_DONE, deadline_ns)
        return followed

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, applied: Sequence[Applied], now_ns: int) -> bool:
        """Do what the state's torque rule says; returns whether a goal was sent."""
        try:
            if self._arming.active:
                outcome = self._arming.step()
                if outcome is not None and self.state is State.ARMING:
                    self._happen(outcome, now_ns)
            elif self.state.armed:
                sent = [arm.write_goal(pose) for arm, pose in zip(self.arms, applied, strict=True)]
                holding = self.state is State.HOLDING
                self._bounded.follow(holding and self._exchange.reset_phase())
                return any(sent)
            elif self._letting_down(now_ns) and self._down.step():
                self._happen(Event.RELEASED, now_ns)
        except BusError as error:
            self._complain(error)
        if self.state is not State.ARMING:
            self._stand()
        if self._stopping:
            self.stopped = self._at_rest()
        return False

    def _stand(self) -> None:
        """Nothing is followed: a limp arm's goal is where it is, a held one's is the last."""
        for arm in self.arms:
            limp = self.state is State.DISARMED
            arm.gate = GateState.at_rest(arm.position_rad if limp else arm.gate.applied_rad)

    def _letting_down(self, now_ns: int) -> bool:
        if self.state is State.ESTOP:
            return now_ns - self._estop_ns >= ESTOP_FREEZE_NS
        return self.state is State.RELEASING

    def _try(self, write: Callable[[], None]) -> None:
        """Write what helps but is not needed for what follows."""
        try:
            write()
        except BusError as error:
            self._complain(error)

    def _complain(self, error: BusError) -> None:
        """Log a failed write once, not in every tick that it goes on."""
        if error.what != self._complaint:
            self._complaint = error.what
            log.error("%s", error)

    def _at_rest(self) -> bool:
        """Whether there is nothing left for control to do before it ends.

        A line that never opened has no arm on it that this process took. Over one that has been
        dead for ten seconds nothing can be released; the log and the state say so, and waiting
        longer helps nobody.
        """
        if self.state is State.DISARMED:
            return True
        dead_ticks = _UNREACHABLE_S * self._settings.tick_hz
        return self.state in (State.RELEASING, State.ESTOP, State.FAULT) and all(
            arm.released or arm.link.opened == 0 or min(arm.misses) > dead_ticks
            for arm in self.arms
        )


_NEW_HANDOVER = {Event.TELEOP, Event.POLICY, Event.REPLAY, Event.CORRECT, Event.HOME}
_OWNERS = {
    Event.POLICY: Source.POLICY,
    Event.REPLAY: Source.REPLAY,
    Event.HOME: Source.HOMING,
    Event.CORRECT: Source.CORRECTION,
}
