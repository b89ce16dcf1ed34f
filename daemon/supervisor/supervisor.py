"""The supervisor's loop: one thread, one poll, nobody waited for.

Each pass: signals, requests, what recorder and policy said, children that ended, answers that are
due; twenty times a second the heartbeat, ten times the published state.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from config.joints import joint_names
from config.schema import Config
from daemon.supervisor.api import Api
from daemon.supervisor.blueprint import CONTROL, PLANT, RECORDER, TWIN, body_specs, robot_specs
from daemon.supervisor.checks import Surroundings, surroundings_checks
from daemon.supervisor.children import Child, Children, Spec
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.idle import IdleWatch
from daemon.supervisor.motion import Motion
from daemon.supervisor.notify import Notifier
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data, Pending, Waiters, failure
from daemon.supervisor.plans import POLICY, REPLAY, PlanDesk
from daemon.supervisor.recording import RecorderDesk
from daemon.supervisor.requests import Requests
from daemon.supervisor.runtime import RuntimeFolder
from daemon.supervisor.startup import start_failure
from daemon.supervisor.status import joints_status, loop_status
from daemon.supervisor.stopping import Phase, Stopping
from daemon.supervisor.words import CONTROL_DIED, fault_words
from drivers.joint_map import JointMap
from robotd import messages
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import RobotdError
from robotd.messages import Check, Ok, Status
from robotd.states import Fault, State, Torque
from robotd.states import Source as SourceOf

log = logging.getLogger(__name__)

_BEAT_NS = 50 * NS_PER_MS
_STATUS_NS = 100 * NS_PER_MS
_LOGS_NS = 60 * NS_PER_S
_WAIT_FOR_ALL_NS = 12 * NS_PER_S  # then it is up without the twin or a camera, and says so


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
    ) -> None:
        runtime = folder.path
        joints = len(joint_names(config))
        self._config = config
        self._folder = folder
        self._maps = maps
        self._clock = clock
        self._notifier = notifier
        self._ready = ready
        self._up = False
        self._began_ns = clock.now_ns()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._children = Children(logs, clock.now_ns, folder.write_children)
        self._control = ControlWriter(runtime, joints)
        self._observed = Observed(config, runtime, clock, self._children)
        self._motion = Motion(config, self._control, self._observed, clock, self._surroundings)
        self._recorder = RecorderDesk(self._context, runtime)
        self._plans = PlanDesk(
            self._context, runtime, config, self._children, self._motion, self._observed
        )
        self._stopping = Stopping(self._children, self._control, clock)
        self._idle = IdleWatch(config.control.idle_release_s, clock)
        self._api = Api(self._context, runtime)
        self._waiters = Waiters()
        self._requests = Requests(
            self._motion,
            self._recorder,
            self._plans,
            self._observed,
            self._stopping,
            self.status,
            self._clear,
        )
        self._control_died_armed = False
        self._waits_for_plant: Spec | None = None
        self._message = ""
        self._watched_ticks = 0
        self._due_ns = dict.fromkeys(("beat", "status", "logs"), 0)

    # --- life -------------------------------------------------------------------------------------

    def run(self, signals: list[int]) -> None:
        """Start everything and serve until told to stop by a request or by `signals` (a list that
        the signal handler appends to). Raises RobotdError when a needed process cannot start."""
        try:
            self._start()
            poller = zmq.Poller()
            poller.register(self._api.router, zmq.POLLIN)
            while self._stopping.phase is not Phase.DOWN:
                poller.poll(self._wait_ms())
                self.step(signals)
        finally:
            self._close()

    def _start(self) -> None:
        self._control.beat(self._clock.now_ns(), os.getpid())
        runtime = self._folder.path
        body = body_specs(self._config, runtime)
        for spec in (*body, *robot_specs(self._config, runtime)):
            if spec.name == RECORDER:
                self._recorder.before_start()
            if spec.name == CONTROL and body:
                self._waits_for_plant = spec
            else:
                self._children.start(spec)

    def step(self, signals: list[int]) -> None:
        """One pass of the loop."""
        while signals:
            self._stopping.ask(f"signal {signals.pop(0)}")
        now_ns = self._clock.now_ns()
        if self._due("beat", now_ns, _BEAT_NS):
            self._control.beat(now_ns, os.getpid())
        for child in self._children.poll():
            self._child_ended(child)
        self._recorder.receive()
        self._plans.receive()
        while (received := self._api.receive()) is not None:
            self._serve(*received)
        if self._due("status", now_ns, _STATUS_NS):
            self._observed.refresh()
            self._look_after()
            self._api.publish(self.status())
        for client, reply in self._waiters.answers(self._clock.now_ns()):
            self._api.reply(client, reply)
        self._stopping.step()
        if self._due("logs", now_ns, _LOGS_NS):
            self._children.trim_logs()

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

    def _close(self) -> None:
        for client, reply in self._waiters.answers(1 << 62):
            self._api.reply(client, reply)
        for child in self._children.all():
            if child.running:  # only after a failed start; otherwise all have ended
                self._children.kill(child.spec.name)
                if child.process is not None:
                    child.process.wait()
        self._api.close()
        self._recorder.close()
        self._plans.close()
        self._control.close()
        self._context.destroy(linger=200)

    # --- looking after ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        """What is judged ten times a second: readiness, the watchdog, an arm that idles."""
        if not self._up:
            self._see_whether_up()
        if self._observed.ticks.ticks != self._watched_ticks:
            # A completed tick was seen: that, and nothing else, proves the loop.
            self._watched_ticks = self._observed.ticks.ticks
            self._notifier.watchdog()
        self._notifier.status(f"{self._observed.state.name.lower()} {self._message}".strip())
        if self._stopping.phase is Phase.RUNNING:
            verdict = self._idle.look(self._observed.state)
            self._message = verdict.message
            if verdict.release:
                log.warning("idle: parking and letting the arm down")
                self._motion.let_down()

    def _see_whether_up(self) -> None:
        if self._waits_for_plant is not None and self._children[PLANT].ready:
            self._children.start(self._waits_for_plant)
            self._waits_for_plant = None
        control = self._children.get(CONTROL)
        if control is not None and self._observed.fresh_tick() is not None:
            control.ready = True
        if self._observed.twin.alive:
            self._children[TWIN].ready = True
        needed = control is not None and control.ready and self._children[RECORDER].ready
        waited_ns = self._clock.now_ns() - self._began_ns
        # The plant's renderer says nothing; its pictures do, in the camera processes.
        others = all(
            c.ready or c.given_up for c in self._children.all() if c.spec.name != "plant-cameras"
        )
        if needed and (others or waited_ns > _WAIT_FOR_ALL_NS):
            self._up = True
            self._notifier.ready()
            self._ready(waited_ns / NS_PER_S)
            log.info("ready after %.1f s", waited_ns / NS_PER_S)

    def _child_ended(self, child: Child) -> None:
        name = child.spec.name
        if self._stopping.phase is not Phase.RUNNING:
            return
        if not self._up and name in (CONTROL, PLANT, RECORDER):
            raise start_failure(name, child.word, self._children.last_words(name))
        if name == RECORDER:
            self._recorder.ended()
            self._recorder.before_start()
        elif name in (POLICY, REPLAY):
            self._plans.ended(name)
        elif name == CONTROL:
            self._control_ended(child)

    def _control_ended(self, child: Child) -> None:
        """Control may only be started again by itself when it held nothing."""
        tick = self._observed.tick()
        limp = tick is None or (tick["state"] == State.DISARMED and tick["torque"] == Torque.OFF)
        if limp and child.exit_code != 0:
            log.warning("control died while the arm was limp; starting it again")
            self._children.start(child.spec)
            return
        self._control_died_armed = not limp
        log.error("control is gone; %s", CONTROL_DIED[0] if not limp else "the arm is limp")

    # --- requests ---------------------------------------------------------------------------------

    def _serve(self, client: bytes, envelope: messages.Envelope) -> None:
        self._idle.touch()
        try:
            answer = self._requests.handle(envelope.request)
        except RobotdError as error:
            self._api.reply(client, failure(envelope.id, error))
            return
        if isinstance(answer, Pending):
            self._waiters.add(client, envelope.id, answer, self._clock.now_ns())
        else:
            self._api.reply(client, Ok(id=envelope.id, data=answer))

    def _clear(self) -> Data | Pending:
        child = self._children[CONTROL]
        if child.running:
            return self._motion.clear()
        self._control_died_armed = False
        self._children.start(child.spec)
        began = self._clock.now_ns()

        def poll() -> dict[str, Any] | None:
            tick = self._observed.fresh_tick()
            if tick is None or tick["deadline_ns"] < began:
                return None
            return {"state": State(tick["state"]).name.lower(), "control": "started again"}

        return Pending(poll, 10.0, CONTROL)

    def _surroundings(self) -> tuple[Check, ...]:
        self._observed.refresh()
        tick = self._observed.tick()
        now_ns = self._clock.now_ns()
        child = self._children.get(RECORDER)
        return surroundings_checks(
            Surroundings(
                tick_age_ms=None if tick is None else (now_ns - tick["deadline_ns"]) / 1e6,
                cameras=self._observed.cameras,
                twin_wanted=self._config.twin.enabled,
                twin=self._observed.twin,
                recorder="not started" if child is None else child.word,
                processes=self._words(),
                policy=self._plans.status,
                leader_wanted=self._observed.leader_wanted,
                leader_ready=self._observed.leader_ready,
                disk_free_gb=self._observed.disk_free_gb,
                disk_wanted_gb=self._config.recording.min_free_gb,
            )
        )

    # --- the published state ----------------------------------------------------------------------

    def _words(self) -> dict[str, str]:
        return {child.spec.name: child.word for child in self._children.all()}

    def status(self) -> Status:
        """Everything that clients show."""
        now_ns = self._clock.now_ns()
        tick = self._observed.tick()
        state, fault, fault_do = self._condition(tick)
        message = self._message
        if self._stopping.phase is not Phase.RUNNING:
            message = f"stopping: {self._stopping.phase.value}"
        elif not self._up:
            message = "starting"
        return Status(
            name=self._config.name,
            simulated=self._config.simulation is not None,
            state=state.name.lower(),
            torque=Torque(Torque.UNKNOWN if tick is None else tick["torque"]).name.lower(),
            source=SourceOf(0 if tick is None else tick["source"]).name.lower(),
            fault=fault,
            fault_do=fault_do,
            message=message,
            stamp_ns=now_ns,
            uptime_s=(now_ns - self._began_ns) / NS_PER_S,
            handover_version=0 if tick is None else tick["handover_version"],
            estop_presses=0 if tick is None else tick["estop_presses"],
            joints=() if tick is None else joints_status(self._config, self._maps, tick),
            cameras=self._observed.cameras,
            loop=loop_status(
                self._config,
                tick,
                now_ns,
                self._observed.percentiles,
                self._observed.realtime,
                self._observed.control_rss_mb,
            ),
            arming=self._motion.arming,
            recording=self._recorder.status,
            twin=self._observed.twin,
            policy=self._plans.status,
            replay=self._plans.replay_status,
            leader_ready=self._observed.leader_ready if self._observed.leader_wanted else None,
            processes=self._words(),
        )

    def _condition(self, tick: dict[str, Any] | None) -> tuple[State, str, str]:
        """State and fault in words; a dead control is a fault whatever its last tick said."""
        if self._control_died_armed:
            return State.FAULT, *CONTROL_DIED
        if tick is None:
            return State.DISARMED, "", ""
        names = joint_names(self._config)
        joint = tick["fault_joint"]
        name = names[joint] if 0 <= joint < len(names) else None
        return State(tick["state"]), *fault_words(Fault(tick["fault"]), name)
