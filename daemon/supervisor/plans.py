"""The processes that make plans: one policy at a time, or the replay of one episode.

Both write the same slots, so only one of them runs. Neither is started again by itself: a policy
that died has lost its model, and nothing may move because a process started.
"""

import logging
from pathlib import Path

import msgspec
import zmq

from config.schema import Config
from daemon.supervisor.blueprint import policy_spec, replay_spec
from daemon.supervisor.children import Children
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.pair import PairLine
from daemon.supervisor.pending import Data, Pending
from daemon.supervisor.recording import named_error
from robotd import messages, policy_channel
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import PolicyStatus
from robotd.states import RequestKind, Source, State

log = logging.getLogger(__name__)

POLICY, REPLAY = "policy", "replay"
_LOAD_S = 180.0  # torch alone takes 10 s from a cold disk
_REPLAY_S = 30.0


class PlanDesk:
    """Loading and running policies, and replays."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        runtime: Path,
        config: Config,
        children: Children,
        motion: Motion,
        observed: Observed,
    ) -> None:
        self.sha256 = ""
        self._runtime = runtime
        self._config = config
        self._children = children
        self._motion = motion
        self._observed = observed
        self._lines = {
            POLICY: PairLine(context, runtime / policy_channel.POLICY_SOCKET),
            REPLAY: PairLine(context, runtime / policy_channel.REPLAY_SOCKET),
        }
        self._status = PolicyStatus()
        self._failure: dict[str, RobotdError] = {}
        self._replay_ready = False

    # --- requests ---------------------------------------------------------------------------------

    def load(self, request: messages.LoadPolicy) -> Pending:
        """Load a checkpoint; answered when it is warm."""
        if self._observed.state in (State.POLICY, State.REPLAY):
            raise StateError(
                "A policy or a replay has the arm.",
                "Another one cannot be loaded while it moves.",
                "Stop it first: robotd hold, or Ctrl-C in its terminal.",
            )
        self._end(REPLAY)
        self._start(POLICY)
        self.sha256 = ""
        self._status = PolicyStatus(phase="loading", path=request.path)
        load = policy_channel.Load(
            path=request.path,
            task=request.task,
            n_action_steps=request.n_action_steps,
            fps=request.fps,
            ensemble=request.ensemble,
            rename=request.rename,
            units=request.units,
        )
        self._lines[POLICY].send(policy_channel.encode(load))

        def poll() -> Data | None:
            if POLICY in self._failure:
                raise self._failure[POLICY]
            if self._status.phase == "ready":
                data: Data = msgspec.to_builtins(self._status)
                return data
            return None

        return Pending(poll, _LOAD_S, "policy")

    def run(self) -> Pending:
        """Give the arm to the loaded policy."""
        if self._status.phase != "ready":
            raise StateError(
                "No policy is ready.",
                f"The policy process is: {self._status.phase} {self._status.error}".strip() + ".",
                "Load one first: robotd run --policy PATH.",
            )
        self._need_twin()
        return self._motion.ask(RequestKind.POLICY, Source.POLICY)

    def replay(self, request: messages.Replay) -> Pending:
        """Start the replay's process and give it the arm when it is ready."""
        self._need_twin()
        if not self._observed.state.armed:
            raise StateError(
                "The arm is not armed.", "A replay moves it.", "Arm it first: robotd arm."
            )
        if self._observed.state in (State.POLICY, State.REPLAY):
            raise StateError(
                "A policy or a replay has the arm.",
                "It has not finished.",
                "Stop it first: robotd hold.",
            )
        self._end(POLICY)
        self._status = PolicyStatus()
        self.sha256 = ""
        self._replay_ready = False
        self._start(REPLAY, request)
        given: list[Pending] = []

        def poll() -> Data | None:
            if REPLAY in self._failure:
                raise self._failure[REPLAY]
            if not self._replay_ready:
                return None
            if not given:
                given.append(self._motion.ask(RequestKind.REPLAY, Source.REPLAY))
            return given[0].poll()

        return Pending(poll, _REPLAY_S, "replay")

    # --- what they say ----------------------------------------------------------------------------

    def receive(self) -> None:
        """Take what both processes said."""
        for name, line in self._lines.items():
            for body in line.receive():
                try:
                    message = policy_channel.decode_from_process(body)
                except msgspec.DecodeError as error:
                    log.error("%s said something that is not understood: %s", name, error)
                    continue
                self._heard(name, message)

    def _heard(self, name: str, message: policy_channel.FromProcess) -> None:
        match message:
            case policy_channel.Ready() if name == POLICY:
                self.sha256 = message.sha256
                self._status = PolicyStatus(
                    phase="ready",
                    path=message.path,
                    kind=message.kind,
                    fps=message.fps,
                    told=message.told,
                    inference_ms=message.inference_ms,
                )
            case policy_channel.Ready():
                self._replay_ready = True
            case policy_channel.Failed():
                error = named_error(message.kind, message.what, message.likely, message.do)
                self._fail(name, error)
            case policy_channel.Trouble():
                if name == POLICY:
                    self._status = msgspec.structs.replace(self._status, error=message.reason)
                if message.reason:
                    log.warning("%s: %s", name, message.reason)
            case policy_channel.Finished():
                self._motion.hold_if_moving()
            case policy_channel.Progress():
                log.info("%s: %s", name, message.phase)

    def ended(self, name: str) -> None:
        """A plan process is gone: nobody follows a dead one's plans."""
        if name == REPLAY and self._observed.state is State.REPLAY:
            self._motion.hold_if_moving()
        if name == POLICY and self._observed.state is State.POLICY:
            self._motion.hold_if_moving()
        child = self._children.get(name)
        if child is None or not child.wanted or (name == REPLAY and child.exit_code == 0):
            return
        words = self._children.last_words(name).splitlines()
        self._fail(
            name,
            DaemonError(
                f"The {name} process ended ({child.word}).",
                words[-1] if words else "It was killed, or ran out of memory.",
                f"Look: robotd logs {name}; then load it again.",
            ),
        )

    @property
    def status(self) -> PolicyStatus:
        """The loaded policy as clients see it, with the newest figures from its slot."""
        slot = self._observed.policy_slot
        running = self._observed.state is State.POLICY
        if self._status.phase != "ready" or slot is None:
            return self._status
        return msgspec.structs.replace(
            self._status,
            phase="running" if running else "ready",
            inference_ms=slot["inference_us"] / 1000 or self._status.inference_ms,
            observation_age_ms=slot["observation_age_us"] / 1000,
            chunks=slot["chunks"],
        )

    def close(self) -> None:
        for line in self._lines.values():
            line.close()

    # --- processes --------------------------------------------------------------------------------

    def _start(self, name: str, request: messages.Replay | None = None) -> None:
        self._failure.pop(name, None)
        child = self._children.get(name)
        if name == POLICY and child is not None and child.running and child.wanted:
            return  # it takes another checkpoint without a new import of torch
        if child is not None and child.running:
            self._children.kill(name)
        self._lines[name].bind()
        if request is None:
            self._children.start(policy_spec(self._runtime, self._config))
        else:
            self._children.start(replay_spec(self._runtime, self._config, request))

    def _end(self, name: str) -> None:
        self._children.ask_to_end(name)
        self._lines[name].close()

    def _fail(self, name: str, error: RobotdError) -> None:
        # The process's own words are better than those of its end.
        self._failure.setdefault(name, error)
        if name == POLICY:
            self._status = msgspec.structs.replace(
                self._status, phase="failed", error=self._failure[name].what
            )
        log.error("%s", error)

    def _need_twin(self) -> None:
        if not self._observed.twin.alive:
            raise StateError(
                "The twin does not answer, and plans reach the arm only through it.",
                "It is starting, or it ended.",
                "Look: robotd status; robotd logs twin.",
            )
