"""The supervisor's loop: one thread, one poll, nobody waited for.

Each pass: signals, requests, what recorder and policy said, children that ended, answers that are
due; twenty times a second the heartbeat, ten times the published state. The parts are guarded: one
that fails is logged and the rest goes on, because control holds the arm for as long as this lives.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from config.joints import joint_names
from config.schema import Config
from daemon.rehearsals import RehearsalStore
from daemon.supervisor.api import Api
from daemon.supervisor.arm_down import ArmDown
from daemon.supervisor.black_box import BlackBox
from daemon.supervisor.blueprint import CONTROL, RECORDER, body_specs, robot_specs
from daemon.supervisor.checks import Surroundings, surroundings_checks
from daemon.supervisor.children import Child, Children
from daemon.supervisor.control_care import ControlCare
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.guard_care import GuardCare
from daemon.supervisor.guarded import Guarded
from daemon.supervisor.health import service_line
from daemon.supervisor.idle import IdleWatch, held_for_nobody
from daemon.supervisor.motion import Motion
from daemon.supervisor.notify import Notifier
from daemon.supervisor.observed import Observed
from daemon.supervisor.patience import arm_down_s
from daemon.supervisor.pending import Pending, Waiters, failure, unexpected
from daemon.supervisor.plans import POLICY, REPLAY, PlanDesk
from daemon.supervisor.published import Parts, Published
from daemon.supervisor.readiness import Readiness
from daemon.supervisor.recording import RecorderDesk
from daemon.supervisor.rehearsed import RobotRehearsals
from daemon.supervisor.requests import Requests
from daemon.supervisor.runtime import RuntimeFolder
from daemon.supervisor.startup import start_failure
from daemon.supervisor.stopping import Phase, Stopping
from daemon.supervisor.time_limit import TimeLimit
from daemon.supervisor.watchdog import Proof
from drivers.joint_map import JointMap
from robotd import messages
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import RobotdError
from robotd.messages import Check, Ok

log = logging.getLogger(__name__)

_BEAT_NS = 50 * NS_PER_MS
_STATUS_NS = 100 * NS_PER_MS
_LOGS_NS = 60 * NS_PER_S
_MORE_TIME_S = 10.0  # asked of systemd again and again while the arm is on its way down
_OTHERS_STOP_S = 180.0  # a release that is extended, then the recorder, then the rest
_CLOSING_S = 0.02


class Supervisor:
    """One robot's supervisor. `run` returns when everything is down."""

    def __init__(
        self,
        config: Config,
        folder: RuntimeFolder,
        logs: Path,
        maps: tuple[JointMap, ...],
        clock: Clock,
        notifier: Notifier,
        ready: Callable[[float], None],
        hardware: tuple[Check, ...] = (),
    ) -> None:
        """`hardware`: the arming list's lines about what selftests found."""
        runtime = folder.path
        joints = len(joint_names(config))
        self._config = config
        self._folder = folder
        self._clock = clock
        self._notifier = notifier
        self._ready = ready
        self._hardware = hardware
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._children = Children(logs, clock.now_ns, folder.write_children)
        self._control = ControlWriter(runtime, joints)
        self._observed = Observed(config, runtime, clock, self._children)
        self._motion = Motion(config, self._control, self._observed, clock, self._surroundings)
        self._recorder = RecorderDesk(
            self._context, runtime, config.recording.reset_s, config.recording.keep_last_s
        )
        self._black_box = BlackBox(
            config, runtime, logs, logs.parent / "blackbox", clock, lambda: self._motion.arming
        )
        self._plans = PlanDesk(
            self._context,
            runtime,
            config,
            self._children,
            self._motion,
            self._observed,
            RobotRehearsals(config, maps, RehearsalStore()),
            clock,
        )
        self._readiness = Readiness(self._children, self._observed, clock.now_ns, clock.now_ns())
        self._guarded = Guarded(clock.now_ns)
        self._guard = GuardCare(runtime, self._children, clock.now_ns)
        self._care = ControlCare(
            config,
            self._children,
            self._observed,
            self._motion,
            self._guard.report,
            clock.now_ns,
        )
        stop_s = arm_down_s(config)
        self._longest_stop_ns = int((stop_s + _OTHERS_STOP_S) * NS_PER_S)
        arm = ArmDown(
            self._children, self._control, self._observed, self._guard.report, clock, stop_s
        )
        self._stopping = Stopping(self._children, arm, clock)
        self._idle = IdleWatch(config.control.idle_release_s, clock)
        self._api = Api(self._context, runtime)
        self._waiters = Waiters()
        self._limit = TimeLimit(self._observed, clock.now_ns, self._motion.hold_if_moving)
        self._published = Published(
            config,
            maps,
            clock,
            Parts(
                children=self._children,
                observed=self._observed,
                motion=self._motion,
                recorder=self._recorder,
                plans=self._plans,
                readiness=self._readiness,
                guard=self._guard,
                care=self._care,
                stopping=self._stopping,
                black_box=self._black_box,
            ),
        )
        self._requests = Requests(
            self._motion,
            self._recorder,
            self._plans,
            self._limit,
            self._observed,
            self._stop,
            self._stopping,
            self._published.status,
            self._care.clear,
        )
        self._cannot_start: RobotdError | None = None
        self._told_stopping = False
        self._proof = Proof()
        self._due_ns = dict.fromkeys(("beat", "status", "logs"), 0)

    # --- life -------------------------------------------------------------------------------------

    def run(self, signals: list[int]) -> None:
        """Start everything and serve until told to stop by a request or by `signals` (a list that
        the signal handler appends to). Raises RobotdError when a needed process cannot start, or
        when the arm could not be let down."""
        try:
            self._start()
            poller = zmq.Poller()
            poller.register(self._api.router, zmq.POLLIN)
            while self._stopping.phase is not Phase.DOWN and self._cannot_start is None:
                poller.poll(self._wait_ms())
                self.step(signals)
        finally:
            self._close(signals)
        if self._cannot_start is not None:
            raise self._cannot_start
        if self._stopping.left_stiff is not None:
            raise self._stopping.left_stiff

    def _start(self) -> None:
        self._control.beat(self._clock.now_ns(), os.getpid())
        self._guard.start()
        runtime = self._folder.path
        body = body_specs(self._config, runtime)
        for spec in (*body, *robot_specs(self._config, runtime)):
            if spec.name == RECORDER:
                self._recorder.before_start()
            if spec.name == CONTROL and body:
                self._readiness.waits_for_plant = spec
            else:
                self._children.start(spec)

    def step(self, signals: list[int]) -> None:
        """One pass of the loop. Never raises."""
        run, now_ns = self._guarded.run, self._clock.now_ns()
        run("signals", lambda: self._hear_signals(signals))
        if self._due("beat", now_ns, _BEAT_NS):
            between = self._recorder.status.phase in ("ready", "saving")
            run("the heartbeat", lambda: self._control.beat(now_ns, os.getpid(), between))
        run("looking after the processes", self._poll_children)
        run("listening to the recorder", self._recorder.receive)
        run("listening to the policy", self._plans.receive)
        run("naming the policy", lambda: self._recorder.policy_is(self._plans.sha256))
        run("serving requests", self._serve_all)
        if self._due("status", now_ns, _STATUS_NS):
            run("reading the state", self._observed.refresh)
            run("the black box", self._black_box.look)
            run("looking after the arm", self._look_after)
            run("publishing the state", self._publish)
        run("the policy's time", self._limit.step)
        run("answering", self._answer)
        run("stopping", self._stopping.step)
        if self._due("logs", now_ns, _LOGS_NS):
            run("trimming the logs", self._children.trim_logs)

    def _hear_signals(self, signals: list[int]) -> None:
        while signals:
            self._stop(f"signal {signals.pop(0)}")

    def _stop(self, reason: str) -> None:
        self._stopping.ask(reason, died_stiff=self._care.died_stiff)

    def _poll_children(self) -> None:
        for child in self._children.poll():
            self._child_ended(child)
        if self._stopping.phase is Phase.RUNNING:
            self._care.step()
            self._guard.step()

    def _answer(self) -> None:
        for client, reply in self._waiters.answers(self._clock.now_ns()):
            self._api.reply(client, reply)

    def _wait_ms(self) -> int:
        if len(self._waiters):
            return 5
        next_ns = min(self._due_ns["beat"] + _BEAT_NS, self._due_ns["status"] + _STATUS_NS)
        return max(1, min(50, (next_ns - self._clock.now_ns()) // NS_PER_MS))

    def _due(self, what: str, now_ns: int, period_ns: int) -> bool:
        if now_ns - self._due_ns[what] < period_ns:
            return False
        self._due_ns[what] = now_ns
        return True

    def _close(self, signals: list[int]) -> None:
        """End what still runs, the arm first and with the same patience as ever, then the sockets.

        Only after a failed start or a mistake of ours does anything run here. Control is never
        killed for that: it is told by ring and by signal, and waited for. Should even that fail,
        it is left to itself: without a supervisor it holds, parks and lets the arm down.
        """
        if self._stopping.phase is not Phase.DOWN:
            log.error("the supervisor breaks off: the arm is let down first")
            self._guarded.run("breaking off", self._stopping.broke_off)
        give_up_ns = self._clock.now_ns() + self._longest_stop_ns
        while self._stopping.phase is not Phase.DOWN and self._clock.now_ns() < give_up_ns:
            self.step(signals)
            time.sleep(_CLOSING_S)
        for client, reply in self._waiters.answers(1 << 62):
            self._api.reply(client, reply)
        self._guarded.run("publishing the state", self._publish)
        self._guarded.run("keeping the timing", self._keep_timing)
        self._guarded.run("the black box", self._black_box.close)
        for part in (self._api, self._recorder, self._plans, self._control, self._guard):
            self._guarded.run("closing", part.close)
        self._context.destroy(linger=200)

    def _keep_timing(self) -> None:
        """How the control that ended kept time, beside its log."""
        self._observed.timing.keep(self._children.logs / "timing.json")

    # --- looking after ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        """What is judged ten times a second: readiness, the watchdog, an arm that idles."""
        waited_s = self._readiness.look()
        if waited_s is not None:
            self._notifier.ready()
            self._ready(waited_s)
            log.info("ready after %.1f s", waited_s)
        if self._loop_proved():
            self._notifier.watchdog()
        if self._stopping.phase is not Phase.RUNNING:
            self._tell_stopping()
        else:
            verdict = self._idle.look(held_for_nobody(self._observed.fresh_tick()))
            self._published.message = verdict.message
            if verdict.release:
                log.warning("idle: letting the arm down")
                self._motion.let_down()

    def _loop_proved(self) -> bool:
        tick = self._observed.tick()
        return self._proof.look(
            self._children.get(CONTROL),
            self._observed.ticks.ticks,
            None if tick is None else tick["deadline_ns"],
            self._clock.now_ns(),
        )

    def _tell_stopping(self) -> None:
        if not self._told_stopping:
            self._told_stopping = True
            self._notifier.stopping()
        self._notifier.extend(_MORE_TIME_S)

    def _child_ended(self, child: Child) -> None:
        name = child.spec.name
        if self._stopping.phase is not Phase.RUNNING:
            return
        if not self._readiness.up and name in Readiness.needed:
            words = self._children.last_words(name)
            self._cannot_start = start_failure(name, child.word, words)
            return
        if name == RECORDER:
            self._recorder.ended()
            self._recorder.before_start()
        elif name in (POLICY, REPLAY):
            self._plans.ended(name)
        elif name == CONTROL:
            self._keep_timing()
            self._care.ended(child)
            self._black_box.control_died(*self._care.condition()[1:])

    # --- requests ---------------------------------------------------------------------------------

    def _serve_all(self) -> None:
        while (received := self._api.receive()) is not None:
            self._serve(*received)

    def _serve(self, client: bytes, envelope: messages.Envelope) -> None:
        try:
            answer = self._requests.handle(envelope.request)
            if not isinstance(envelope.request, messages.GetStatus):
                self._idle.touch()  # a monitor that looks is nobody; so is a goal that is refused
        except RobotdError as error:
            self._api.reply(client, failure(envelope.id, error))
            return
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not let go of the arm
            kind = type(envelope.request).__name__
            self._guarded.complain(f"answering {kind}", error)
            self._api.reply(client, failure(envelope.id, unexpected(kind, error)))
            return
        if isinstance(answer, Pending):
            self._waiters.add(client, envelope.id, answer, self._clock.now_ns())
        else:
            self._api.reply(client, Ok(id=envelope.id, data=answer))

    def _surroundings(self) -> tuple[Check, ...]:
        self._observed.refresh()
        self._plans.look_up()
        tick = self._observed.tick()
        now_ns = self._clock.now_ns()
        child = self._children.get(RECORDER)
        checks = surroundings_checks(
            Surroundings(
                simulated=self._config.simulation is not None,
                joints_read=tick is not None and min(tick["present_age_ns"]) >= 0,
                tick_age_ms=None if tick is None else (now_ns - tick["deadline_ns"]) / 1e6,
                cameras=self._observed.cameras,
                twin_wanted=self._config.twin.enabled,
                twin=self._observed.twin,
                recorder="not started" if child is None else child.word,
                processes=self._children.words(),
                policy=self._plans.status,
                leader_wanted=self._observed.leader_wanted,
                leader_ready=self._observed.leader_ready,
                disk_free_gb=self._observed.disk_free_gb,
                disk_wanted_gb=self._config.recording.min_free_gb,
                hardware=self._hardware,
            )
        )
        return (*checks, self._guard.check())

    # --- the published state ----------------------------------------------------------------------

    def _publish(self) -> None:
        status = self._published.status()
        self._api.publish(status)
        self._notifier.status(service_line(status))
