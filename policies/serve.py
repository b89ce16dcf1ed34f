"""The policy process: `python -m policies.serve --runtime DIR`.

It loads a checkpoint when the supervisor says so, and from then on makes plans whenever the tick
ring says that it is a policy's turn. It touches no motor and decides about no motion: its proposals
go to the twin. Only this process (and training) imports torch.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.schema import Config
from policies.border import load_calibrations
from policies.camera_contract import compare
from policies.checkpoint.digests import FileDigests
from policies.executor import pauses
from policies.failing import give_back_memory
from policies.history import History
from policies.link import RuntimeLink
from policies.loaded import LoadedPolicy, frame_stale_ns, load_policy, row_stride
from policies.observation import NotObservedError, Observation, build_observation
from policies.process import PlanProcess, read_config
from policies.row_inputs import RowInputs
from policies.runner import Runner
from policies.shadow import Shadow
from robotd.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robotd.errors import RobotdError, StateError
from robotd.frames import Frame
from robotd.policy_channel import (
    POLICY_SOCKET,
    Load,
    Progress,
    Ready,
    ShadowOrder,
    Shutdown,
    Trouble,
)
from robotd.states import State

_BUSY_WAIT_MS = 2  # while it is the policy's turn: a quarter of a tick at 120 Hz
_IDLE_WAIT_MS = 20
_SIGN_NS = 250 * NS_PER_MS  # how often the policy slot says that this process is alive
_NICENESS = 5
"""Below recording and servos: importing LeRobot and reading weights fill a core for seconds, and a
late plan is a hold, where a late reply on the bus is a fault."""


class PolicyServer:
    """The loop of the policy process: one pass per `pass_once`."""

    def __init__(
        self, process: PlanProcess, link: RuntimeLink, config: Config, threads: int
    ) -> None:
        self._threads = threads
        self._process = process
        self._link = link
        self._config = config
        self._clock = MonotonicClock()
        self._policy: LoadedPolicy | None = None
        self._runner: Runner | None = None
        self._shadow: Shadow | None = None
        self._told_trouble = ""
        self._hashed_percent = 0
        self._reported = 0
        self._reported_ns = 0
        self._busy = False
        self._load_id = 0
        self._inputs: RowInputs | None = None
        self._history: History | None = None

    def pass_once(self) -> bool:
        """Take one message, make one step. False: the supervisor asked to end."""
        message = self._process.receive(_BUSY_WAIT_MS if self._busy else _IDLE_WAIT_MS)
        while isinstance(message, Load) and (newer := self._process.receive(0)) is not None:
            if not isinstance(newer, ShadowOrder):
                message = newer  # a load that was superseded while this process was busy
        if isinstance(message, Shutdown):
            return False
        try:
            if isinstance(message, Load):
                self._load(message)
            if isinstance(message, ShadowOrder):
                self._set_shadow(message)
            self._step()
        except RobotdError as error:
            self._unload()
            self._process.fail(error, self._load_id)
        return True

    def _unload(self) -> None:
        """From here on nothing is proposed: neither by a checkpoint that failed nor by the one
        before it. Its memory is given back first: two large policies do not fit side by side."""
        if self._policy is not None:
            self._policy.close()
        self._policy = self._runner = self._shadow = None
        self._busy = False
        give_back_memory()

    def _refuse_in_motion(self) -> None:
        tick = self._link.latest()
        if tick is not None and tick["state"] == State.POLICY:
            raise StateError(
                "A checkpoint cannot be exchanged while a policy moves the arm.",
                "Another run is still going on, or was started while this one was loading.",
                "The arm holds now. Load again.",
            )

    def _load(self, request: Load) -> None:
        self._load_id = request.id
        self._refuse_in_motion()
        self._unload()
        self._process.send(Progress(phase="loading"))
        calibrations = load_calibrations(self._config)
        policy = load_policy(
            request,
            self._config,
            calibrations,
            threads=self._threads,
            told=lambda words: self._process.send(Progress(phase=words)),
        )
        self._refuse_in_motion()
        self._policy = policy
        self._runner = Runner(
            policy,
            policy.executor(),
            self._clock,
            State.POLICY,
            # Above every id that an earlier process of this boot can have used.
            first_chunk_id=self._clock.now_ns() // 1_000_000,
            first_followed=self._link.first_followed,
        )
        fit, cameras = policy.fit, self._config.cameras
        periods_ns = {name: round(NS_PER_S / cameras[name].fps) for name in fit.cameras}
        model, evidence = policy.model, policy.model.evidence
        seen_steps = model.interface.steps_seen
        self._inputs = RowInputs(
            self._link,
            periods_ns,
            self._clock,
            told=fit.environment,
            looks_back=seen_steps > 1,
        )
        self._history = History(seen_steps, policy.step_ns, self._observed_at)
        self._link.report(self._clock.now_ns(), None, 0, ready=True, finished=False)
        seen = compare(policy, self._config, self._link.drawn_camera)
        self._process.send(
            Ready(
                id=request.id,
                path=model.interface.name,
                kind=model.kind,
                fps=evidence.fps,
                fps_source=evidence.fps_source,
                units=evidence.units,
                units_source=evidence.units_source,
                chunk=model.chunk,
                n_action_steps=policy.settings.n_action_steps,
                inference_ms=policy.inference_ns / 1e6,
                told=policy.fit.told,
                cameras=policy.fit.cameras,
                mode=policy.settings.mode.words,
                embodiment=policy.embodiment[0],
                embodiment_source=policy.embodiment[1],
                time_scale=policy.played.time_scale,
                changed=policy.played.words,
                pauses=pauses(
                    policy.inference_ns, policy.settings.row_ns, model.chunk * policy.step_ns
                ),
                camera_differences=tuple(each.words for each in seen),
                camera_do=seen[0].do if seen else "",
                sha256=model.sha256(FileDigests(progress=self._hashing)),
            )
        )

    def _hashing(self, name: str, part: float) -> None:
        percent = int(part * 10) * 10
        if percent != self._hashed_percent:
            self._hashed_percent = percent
            self._process.send(Progress(phase=f"hashing {name}: {percent} %"))

    def _set_shadow(self, request: ShadowOrder) -> None:
        self._shadow = None
        if request.on and self._policy is not None:
            self._shadow = Shadow(
                request.number,
                self._policy,
                self._clock,
                first_chunk_id=self._clock.now_ns() // 1_000_000,
            )

    def _step(self) -> None:
        tick = self._link.latest()
        runner = self._runner
        if tick is None or runner is None:
            return
        if self._inputs is not None:
            self._inputs.watch()
        shadow = self._shadow
        if shadow is not None and tick["state"] == State.DISARMED:
            self._busy = True
            self._step_shadow(shadow, tick)
            runner = shadow.runner
        else:
            self._busy = tick["state"] == State.POLICY
            row = self._link.row() if self._busy else None
            proposal = runner.step(tick, row, self._observe, self._link.answer())
            if proposal is not None:
                self._link.propose(proposal)
        now_ns = self._clock.now_ns()
        if runner.chunks != self._reported or now_ns - self._reported_ns >= _SIGN_NS:
            self._reported, self._reported_ns = runner.chunks, now_ns
            self._link.report(now_ns, runner.inference, runner.chunks, ready=True, finished=False)
        for record in runner.latency.take():
            self._link.chunk(record)
        if runner.trouble != self._told_trouble:
            self._told_trouble = runner.trouble
            self._process.send(Trouble(reason=runner.trouble))

    def _step_shadow(self, shadow: Shadow, tick: Mapping[str, Any]) -> None:
        answer = self._link.answer()
        proposal, news = shadow.step(tick, self._link.row(), self._observe, answer)
        if proposal is not None:
            self._link.propose(proposal)
        if news is not None:
            self._process.send(news)

    def _observe(self, row: Mapping[str, Any]) -> Observation:
        assert self._inputs is not None and self._history is not None
        seen = self._observation(row, *self._inputs.of(int(row["deadline_ns"])))
        return self._history.of(seen)

    def _observed_at(self, at_ns: int) -> Observation:
        """What was seen then, of the nearest tick that is kept. Raises NotObservedError."""
        assert self._inputs is not None
        tick = self._link.tick_at(at_ns + NS_PER_S // self._config.control.tick_hz // 2)
        if tick is None:
            raise NotObservedError("the joints of a moment ago are no longer known")
        return self._observation(tick, *self._inputs.past(int(tick["deadline_ns"])))

    def _observation(
        self,
        tick: Mapping[str, Any],
        frames: Mapping[str, Frame | None],
        world: Mapping[str, Any] | None,
    ) -> Observation:
        assert self._policy is not None
        stale_ns, told = frame_stale_ns(self._config), self._policy.fit.environment
        return build_observation(tick, self._policy.border, frames, world, stale_ns, told=told)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m policies.serve")
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--config", type=Path, help="by default RUNTIME/config.json")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads on the CPU")
    arguments = parser.parse_args()
    runtime: Path = arguments.runtime
    os.nice(_NICENESS)
    process = PlanProcess(runtime / POLICY_SOCKET)
    try:
        config = read_config(arguments.config or runtime / "config.json")
        link = RuntimeLink(runtime, 6 * len(config.arms), row_stride(config))
        server = PolicyServer(process, link, config, arguments.threads)
        while not process.ended and server.pass_once():
            pass
        link.close()
    except RobotdError as error:
        process.fail(error)
        return error.exit_code
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
