"""Who answers which request. Every type in `robotd.messages` has its line here."""

import os
from collections.abc import Callable

from daemon.supervisor.api import as_data
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data, Pending
from daemon.supervisor.plans import PlanDesk
from daemon.supervisor.recording import RecorderDesk
from daemon.supervisor.stopping import Phase, Stopping
from daemon.supervisor.time_limit import TimeLimit
from robotd import messages
from robotd.errors import StateError
from robotd.messages import Status


class Requests:
    """Hands each request to the desk that it concerns."""

    def __init__(
        self,
        motion: Motion,
        recorder: RecorderDesk,
        plans: PlanDesk,
        limit: TimeLimit,
        observed: Observed,
        stop: Callable[[str], None],
        stopping: Stopping,
        status: Callable[[], Status],
        clear: Callable[[], Data | Pending],
    ) -> None:
        self._motion = motion
        self._recorder = recorder
        self._plans = plans
        self._limit = limit
        self._observed = observed
        self._stop = stop
        self._stopping = stopping
        self._status = status
        self._clear = clear

    def handle(self, request: messages.AnyRequest) -> Data | Pending:
        if self._stopping.phase is not Phase.RUNNING and not isinstance(
            request, messages.GetStatus | messages.Shutdown
        ):
            raise StateError(
                f"robotd is stopping ({self._stopping.phase.value}).",
                self._stopping.reason,
                "Wait, then start it again: robotd start.",
            )
        match request:
            case messages.Goal():
                return self._motion.goal(request)
            case messages.GetStatus():
                return as_data(self._status())
            case messages.Arm():
                return self._motion.arm(request)
            case messages.Disarm():
                return self._motion.disarm(request)
            case messages.Clear():
                return self._clear()
            case messages.Hold():
                return self._motion.hold()
            case messages.Home():
                return self._motion.home()
            case messages.Teleop():
                return self._motion.teleop(request)
            case messages.LoadPolicy():
                return self._plans.load(request)
            case messages.RunPolicy():
                return self._limit.on(lambda: self._plans.run(request), request.seconds)
            case messages.Shadow():
                return self._plans.begin_shadow(request)
            case messages.EndShadow():
                return self._plans.shadow.end()
            case messages.Replay():
                return self._plans.replay(request)
            case messages.Shutdown():
                self._stop("a client asked for it")
                return {"pid": os.getpid()}
            case _:
                return self._handle_recording(request)

    def _handle_recording(self, request: messages.AnyRequest) -> Data | Pending:
        match request:
            case messages.OpenSession():
                return self._recorder.open_session(request)
            case messages.CloseSession():
                return self._recorder.close_session()
            case messages.SetTask():
                return self._recorder.set_task(request)
            case messages.StartEpisode():
                return self._recorder.start_episode(self._observed.state.armed, self._plans.sha256)
            case messages.KeepEpisode():
                return self._recorder.keep(request)
            case messages.DiscardEpisode():
                return self._recorder.discard(request)
            case messages.MarkEpisode():
                return self._recorder.mark(request)
            case messages.LabelEpisode():
                return self._recorder.label(request)
            case messages.KeepLast():
                return self._recorder.keep_last(request)
            case messages.UndoEpisode():
                return self._recorder.undo()
            case messages.ListInterrupted():
                return self._recorder.list_interrupted()
            case messages.DecideInterrupted():
                return self._recorder.decide_interrupted(request)
            case _:
                raise StateError(
                    f"{type(request).__name__} is not served by this robotd.",
                    "Client and daemon are of different versions.",
                    "Install the same version for both.",
                )
