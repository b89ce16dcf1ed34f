"""The processes that make plans: one policy at a time, or the replay of one episode.

Both write the same slots, so only one of them runs. Neither is started again by itself: a policy
that died has lost its model, and nothing may move because a process started.

Loads and replays are numbered and the newest wins: what a process says of an earlier one is not
heard, and whoever waits for an earlier one is told so. Whenever control says that the arm is a
policy's or a replay's and nobody plays, the arm is taken back: that one rule covers a failure, an
end and every race between them.
"""

import logging
from pathlib import Path

import msgspec
import zmq

from config.schema import Config
from daemon.probes import Probed, ProbeStore, probe_key, probed, refuse_failed
from daemon.rehearsals import Standing
from daemon.supervisor.blueprint import policy_spec, replay_spec
from daemon.supervisor.children import Children
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.pair import PairLine
from daemon.supervisor.pending import Data, Pending
from daemon.supervisor.plan_refusals import (
    deaf,
    ended,
    endless,
    in_motion,
    no_policy,
    no_twin,
    not_armed,
    silent,
    superseded,
)
from daemon.supervisor.recording import named_error
from daemon.supervisor.rehearsed import RobotRehearsals, refuse_unrehearsed
from daemon.supervisor.shadowing import ShadowDesk
from robotd import messages, policy_channel
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import RobotdError
from robotd.messages import PolicyStatus, ReplayStatus
from robotd.states import RequestKind, Source, State

log = logging.getLogger(__name__)

POLICY, REPLAY = "policy", "replay"
_LOAD_S = 600.0  # a Pi0 is 7 to 14 GB to read and to hash; torch alone takes 10 s
_LOAD_IN_VAIN_NS = 30 * NS_PER_S  # whoever asks for another after that waits for no end of this one
_REPLAY_S = 30.0
_SILENT_NS = 5 * NS_PER_S  # four signs a second; a machine that swaps is not killed for it
_SILENT_CHUNKS = 10  # and as many times what a warm chunk takes


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
        rehearsals: RobotRehearsals,
        clock: Clock,
    ) -> None:
        self.sha256 = ""
        self.replay_status = ReplayStatus()
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
        self._rehearsals = rehearsals
        self._clock = clock
        self._ready: policy_channel.Ready | None = None
        self._key = ""  # of the loaded policy's rehearsals
        self._probes = ProbeStore(rehearsals.store.folder.with_name("probes"))
        self._probe_key = ""  # of the loaded policy's probes
        self.shadow = ShadowDesk(
            config.name, rehearsals.store, observed, clock, self._lines[POLICY].send
        )
        self._failure: dict[str, RobotdError] = {}
        self._load_number = 0
        self._load_ns = 0  # when the present one was asked for, or last said how far it is
        self._asked = messages.LoadPolicy(path="")
        self._replay_ready = False
        self._replay_key = ""
        self._taken_back = -1  # the hand-over whose arm was taken back

    # --- requests ---------------------------------------------------------------------------------

    def load(self, request: messages.LoadPolicy) -> Pending:
        """Load a checkpoint; answered when it is warm. Takes the place of an unanswered load."""
        self._refuse_while_moving()
        self._drop_replay()
        self._load_number += 1
        number = self._load_number
        now_ns = self._clock.now_ns()
        in_vain = self._status.phase == "loading" and now_ns - self._load_ns > _LOAD_IN_VAIN_NS
        self._forget_policy(PolicyStatus(phase="loading", path=request.path))
        self._asked = request
        self._load_ns = now_ns
        self._start_policy(anew=in_vain)
        load = policy_channel.Load(id=number, **msgspec.structs.asdict(request))
        if not self._lines[POLICY].send(policy_channel.encode(load)):
            self._fail(POLICY, deaf())

        def poll() -> Data | None:
            if number != self._load_number:
                raise superseded(f"The load of {request.path}")
            if POLICY in self._failure:
                raise self._failure[POLICY]
            if self._status.phase == "ready":
                data: Data = msgspec.to_builtins(self._status)
                return data
            return None

        return Pending(poll, _LOAD_S, POLICY)

    def run(self, request: messages.RunPolicy) -> Pending:
        """Give the arm to the loaded policy: a real one only after a rehearsal, or knowingly."""
        self._need_policy()
        self._need_twin()
        if not self._rehearsals.simulated and not request.unrehearsed:
            refuse_unrehearsed(self.look_up())
        if not request.despite_probe:
            refuse_failed(self._probed())
        return self._motion.ask(RequestKind.POLICY, Source.POLICY)

    def begin_shadow(self, request: messages.Shadow) -> Data:
        """Let the loaded policy look and propose, for the twin only."""
        ready = self._need_policy()
        self._need_twin()
        evidence = self._rehearsals.evidence(ready)
        return self.shadow.begin(request, self._status.path, self._key, evidence)

    def look_up(self) -> Standing:
        """How the loaded policy stands now; another process may have kept a verdict meanwhile."""
        found = self._rehearsals.standing(self._key, f"--policy {self._status.path}")
        if self._status.phase == "ready":
            self._status = msgspec.structs.replace(
                self._status,
                rehearsed=found.rehearsed,
                rehearsal=found.words,
                rehearsal_do=found.do,
            )
        if self._status.phase == "ready" and (about := self._probed()) is not None:
            self._status = msgspec.structs.replace(
                self._status, probed=about.outcome, probe=about.words, probe_do=about.do
            )
        return found

    def _probed(self) -> Probed | None:
        """How the loaded policy's probe ended; another process may have kept one meanwhile."""
        return probed(self._probes, self._probe_key, self._status.path)

    def _need_policy(self) -> policy_channel.Ready:
        if self._status.phase != "ready" or self._ready is None:
            raise no_policy(self._status)
        return self._ready

    def replay(self, request: messages.Replay) -> Pending:
        """Start the replay's process and give it the arm when it is ready."""
        self._need_twin()
        if not self._observed.state.armed:
            raise not_armed()
        self._refuse_while_moving()
        self._drop_policy()
        number = self.replay_status.number + 1
        self._start_replay(request, number)
        given: list[Pending] = []

        def poll() -> Data | None:
            if number != self.replay_status.number:
                raise superseded(f"The replay of episode {request.episode}")
            if REPLAY in self._failure:
                raise self._failure[REPLAY]
            if not self._replay_ready:
                return None
            try:
                if not given:
                    given.append(self._motion.ask(RequestKind.REPLAY, Source.REPLAY))
                    self._replay_is("running")
                taken = given[0].poll()
            except RobotdError as error:
                self._fail(REPLAY, error)
                self._end(REPLAY)
                raise
            if taken is None:
                return None
            subject = f"--replay {request.dataset}:{request.episode}"
            found = self._rehearsals.standing(self._replay_key, subject)
            return taken | {"replay": number, "rehearsal": found.words, "rehearsal_do": found.do}

        return Pending(poll, _REPLAY_S, REPLAY)

    def _refuse_while_moving(self) -> None:
        if self._observed.state in (State.POLICY, State.REPLAY):
            raise in_motion()

    # --- what they say ----------------------------------------------------------------------------

    def receive(self) -> None:
        """Take what both processes said, and the arm from one that does not play."""
        for name in self._lines:
            self._listen(name)
        self._end_silent()
        self._end_endless_load()
        self._take_back()
        if self.shadow.step(self._status.error):
            self.look_up()

    def _listen(self, name: str) -> None:
        for body in self._lines[name].receive():
            try:
                message = policy_channel.decode_from_process(body)
            except msgspec.DecodeError as error:
                log.error("%s said something that is not understood: %s", name, error)
                continue
            self._heard(name, message)

    def _heard(self, name: str, message: policy_channel.FromProcess) -> None:
        child = self._children.get(name)
        if child is not None and isinstance(message, policy_channel.Ready):
            child.ready = True  # its READY: stdout stays silent, libraries write there
        match message:
            case policy_channel.Ready() if name == POLICY:
                if message.id == self._load_number:
                    self._loaded(message)
            case policy_channel.Ready():
                self._replay_ready = True
                self._replay_key = self._rehearsals.key(message)
            case policy_channel.Failed():
                if name == REPLAY or message.id in (0, self._load_number):
                    error = named_error(message.kind, message.what, message.likely, message.do)
                    self._fail(name, error)
            case policy_channel.Trouble():
                if name == POLICY and self._status.phase == "ready":
                    self._status = msgspec.structs.replace(self._status, error=message.reason)
                if message.reason:
                    log.warning("%s: %s", name, message.reason)
            case policy_channel.Finished():
                self._failure.pop(REPLAY, None)
                self._replay_is("finished")
            case policy_channel.Shadowed():
                self.shadow.heard(message)
            case policy_channel.Progress():
                self._load_ns = self._clock.now_ns()  # slow, a large file on a slow disk, but alive
                log.info("%s: %s", name, message.phase)

    def _loaded(self, ready: policy_channel.Ready) -> None:
        self.sha256 = ready.sha256
        self._ready = ready
        self._key = self._rehearsals.key(ready, self._asked.rename)
        self._probe_key = probe_key(
            ready.sha256, ready.fps, ready.units, self._asked.rename, ready.embodiment
        )
        self._observed.latency.forget()
        self._status = PolicyStatus(
            phase="ready",
            path=ready.path,
            kind=ready.kind,
            sha256=ready.sha256,
            fps=ready.fps,
            told=ready.told,
            cameras=ready.cameras,
            inference_ms=ready.inference_ms,
            mode=ready.mode,
            n_action_steps=ready.n_action_steps,
            embodiment=" ".join(filter(None, (ready.embodiment, ready.embodiment_source))),
            time_scale=ready.time_scale,
            changed=ready.changed,
            pauses=ready.pauses,
            camera_differences=ready.camera_differences,
            camera_do=ready.camera_do,
        )
        self.look_up()

    def ended(self, name: str) -> None:
        """A plan process is gone: nobody follows a dead one's plans."""
        self._listen(name)  # its own words are better than those of its end
        child = self._children.get(name)
        over = name in self._failure or (name == REPLAY and self.replay_status.phase == "finished")
        if child is not None and child.wanted and not over:
            killed = (child.exit_code or 0) < 0  # then what it said last was about something else
            words = [] if killed else self._children.last_words(name).splitlines()
            self._fail(
                name,
                ended(name, child.word, words),
            )
        self._take_back()

    def _end_silent(self) -> None:
        """End a policy process that has the arm and hangs: control holds by itself, but nobody
        would say why, and a load would wait for it in vain."""
        slot, tick = self._observed.policy_slot, self._observed.fresh_tick()
        ready = self._ready
        if slot is None or tick is None or ready is None or tick["state"] != State.POLICY:
            return
        if self._status.phase != "ready":
            return
        # Not before the hand-over: until then it may have been busy with nothing.
        since_ns = max(int(slot["stamp_ns"]), int(tick["handover_ns"]))
        silent_ns = self._clock.now_ns() - since_ns
        patience_ns = _SILENT_NS + _SILENT_CHUNKS * int(ready.inference_ms * NS_PER_MS)
        if silent_ns > patience_ns:
            self._fail(POLICY, silent(silent_ns / NS_PER_S))
            self._children.kill(POLICY)

    def _end_endless_load(self) -> None:
        """End a policy process that never says how a load ended; the next one gets a fresh one."""
        loads_ns = self._clock.now_ns() - self._load_ns
        if self._status.phase == "loading" and loads_ns > _LOAD_S * NS_PER_S:
            self._fail(POLICY, endless(self._status.path, _LOAD_S))
            self._children.kill(POLICY)

    def _take_back(self) -> None:
        """Hold, once per hand-over, when the arm is given to a process that does not play."""
        tick = self._observed.tick()
        if tick is None:
            return
        state = State(tick["state"])
        idle = (state is State.POLICY and self._status.phase != "ready") or (
            state is State.REPLAY and self.replay_status.phase != "running"
        )
        if idle and tick["handover_version"] != self._taken_back:
            self._taken_back = tick["handover_version"]
            self._motion.hold_if_moving()

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
            latency=self._observed.latency.stages,
        )

    def close(self) -> None:
        for line in self._lines.values():
            line.close()

    # --- processes --------------------------------------------------------------------------------

    def _start_policy(self, *, anew: bool) -> None:
        child = self._children.get(POLICY)
        if child is not None and child.running and child.wanted and not anew:
            return  # it takes another checkpoint without a new import of torch
        self._make_room(POLICY)
        self._children.start(policy_spec(self._runtime, self._config))

    def _start_replay(self, request: messages.Replay, number: int) -> None:
        self._failure.pop(REPLAY, None)
        self._replay_ready = False
        self.replay_status = ReplayStatus(
            phase="loading", number=number, dataset=request.dataset, episode=request.episode
        )
        self._make_room(REPLAY)
        self._children.start(replay_spec(self._runtime, self._config, request))

    def _make_room(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None and child.running:
            self._children.kill(name)
        self._lines[name].bind()

    def _end(self, name: str) -> None:
        self._children.ask_to_end(name)
        self._lines[name].close()

    def _drop_policy(self) -> None:
        """Nothing is loaded any more; whoever waits for a load is told."""
        self._end(POLICY)
        self._load_number += 1
        self._forget_policy(PolicyStatus())

    def _forget_policy(self, status: PolicyStatus) -> None:
        self._failure.pop(POLICY, None)
        self.shadow.policy_is_gone(superseded(f"The shadow of {self._status.path}"))
        self.sha256 = self._key = self._probe_key = ""
        self._ready = None
        self._status = status

    def _drop_replay(self) -> None:
        if self.replay_status.phase in ("loading", "running"):
            self._fail(REPLAY, superseded(f"The replay of episode {self.replay_status.episode}"))
        self._end(REPLAY)

    def _fail(self, name: str, error: RobotdError) -> None:
        log.error("%s: %s", name, error)
        self._failure[name] = error
        if name == REPLAY:
            self._replay_is("failed", error)
        else:
            self.shadow.policy_is_gone(error)
            self.sha256 = ""
            self._status = PolicyStatus(
                phase="failed",
                path=self._status.path,
                error=error.what,
                likely=error.likely,
                do=error.do,
            )

    def _replay_is(self, phase: str, error: RobotdError | None = None) -> None:
        what, likely, do = ("", "", "") if error is None else (error.what, error.likely, error.do)
        self.replay_status = msgspec.structs.replace(
            self.replay_status, phase=phase, error=what, likely=likely, do=do
        )

    def _need_twin(self) -> None:
        if not self._observed.twin.alive:
            raise no_twin()
