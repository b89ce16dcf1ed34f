"""The published state, put together from what every part of the supervisor knows. Changes nothing."""

from dataclasses import dataclass

from config.schema import Config
from daemon.supervisor.black_box import BlackBox
from daemon.supervisor.children import Children
from daemon.supervisor.control_care import ControlCare
from daemon.supervisor.guard_care import GuardCare
from daemon.supervisor.health import Seen, health_status
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.plans import PlanDesk
from daemon.supervisor.readiness import Readiness
from daemon.supervisor.recording import RecorderDesk
from daemon.supervisor.status import joints_status, loop_status
from daemon.supervisor.stopping import Phase, Stopping
from drivers.joint_map import JointMap
from robotd.clock import NS_PER_S, Clock
from robotd.health import HealthStatus
from robotd.messages import Status
from robotd.states import Source as SourceOf
from robotd.states import State


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is asked."""

    children: Children
    observed: Observed
    motion: Motion
    recorder: RecorderDesk
    plans: PlanDesk
    readiness: Readiness
    guard: GuardCare
    care: ControlCare
    stopping: Stopping
    black_box: BlackBox


class Published:
    """Makes the state that clients show. `message` is what the person should know besides."""

    def __init__(
        self, config: Config, maps: tuple[JointMap, ...], clock: Clock, parts: Parts
    ) -> None:
        self.message = ""
        self._config = config
        self._maps = maps
        self._clock = clock
        self._began_ns = clock.now_ns()
        self._parts = parts

    def status(self) -> Status:
        """Everything that clients show."""
        parts = self._parts
        now_ns = self._clock.now_ns()
        tick = parts.observed.tick()
        state, fault, fault_do = parts.care.condition()
        if fault and parts.black_box.newest:
            fault_do = f"{fault_do} Its story: robotd blackbox show {parts.black_box.newest}."
        stiff = parts.stopping.left_stiff
        if stiff is not None:
            state, fault, fault_do = State.FAULT, stiff.what, stiff.do
        message = self.message
        if parts.stopping.phase is not Phase.RUNNING:
            message = f"stopping: {parts.stopping.phase.value}"
        elif not parts.readiness.up:
            message = "starting"
        return Status(
            name=self._config.name,
            simulated=self._config.simulation is not None,
            state=state.name.lower(),
            torque=parts.guard.torque(tick).name.lower(),
            source=SourceOf(0 if tick is None else tick["source"]).name.lower(),
            fault=fault,
            fault_do=fault_do,
            left_stiff="" if stiff is None else str(stiff),
            message=message,
            stamp_ns=now_ns,
            uptime_s=(now_ns - self._began_ns) / NS_PER_S,
            handover_version=0 if tick is None else tick["handover_version"],
            estop_presses=0 if tick is None else tick["estop_presses"],
            joints=() if tick is None else joints_status(self._config, self._maps, tick),
            cameras=parts.observed.cameras,
            loop=loop_status(
                self._config,
                tick,
                now_ns,
                parts.observed.timing.newest.stages,
                parts.observed.realtime,
                parts.observed.control_rss_mb,
            ),
            arming=parts.motion.arming,
            recording=parts.recorder.status,
            twin=parts.observed.twin,
            policy=parts.plans.status,
            replay=parts.plans.replay_status,
            shadow=parts.plans.shadow.status,
            leader_ready=parts.observed.leader_ready if parts.observed.leader_wanted else None,
            guard=parts.guard.status(),
            processes=parts.children.words(),
            health=self._health(state, fault, fault_do),
        )

    def _health(self, state: State, fault: str, fault_do: str) -> HealthStatus:
        parts = self._parts
        observed = parts.observed
        return health_status(
            self._config,
            Seen(
                now_ns=self._clock.now_ns(),
                state=state,
                fault=fault,
                fault_do=fault_do,
                starting=not parts.readiness.up,
                tick=observed.tick(),
                timing=observed.timing.newest,
                realtime=observed.realtime,
                guard=parts.guard.report(),
                twin=observed.twin,
                twin_finding=observed.twin_finding,
                cameras=observed.cameras,
                processes=parts.children.words(),
                recording=parts.recorder.status,
            ),
        )
