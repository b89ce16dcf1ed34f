"""The supervisor's end of the recorder: commands out, answers and state in.

A recorder that died takes its open answers with it: they are refused at once, and the episode is
offered again when it is back.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from daemon.recorder import channel
from daemon.supervisor.pair import PairLine
from daemon.supervisor.pending import Data, Pending
from robotd import errors, messages
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import RecordingStatus

log = logging.getLogger(__name__)

_ANSWER_S = 20.0  # a recorder that was killed is back after its imports
LONGEST_RESET_S = 3600.0
LONGEST_KEEP_LAST_S = 300.0
_UNANSWERED = 0
_PUBLISH_S = 120.0  # every kept episode into its dataset, on a slow disk

type Make = Callable[[int], channel.ToRecorder]


class RecorderDesk:
    """Everything that clients may ask of the recorder."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        runtime: Path,
        reset_s: float,
        keep_last_s: float = 0.0,
    ) -> None:
        """`reset_s` and `keep_last_s` are for sessions that name none."""
        self._reset_s = reset_s
        self._keep_last_s = keep_last_s
        self.status = RecordingStatus()
        self._line = PairLine(context, runtime / channel.RECORDER_SOCKET)
        self._last_id = 0
        self._open: set[int] = set()
        self._answers: dict[int, channel.Done | channel.Refused] = {}
        self._alive = False
        self._told_policy = ""

    def before_start(self) -> None:
        """Make the line for a recorder that is about to start."""
        self._line.bind()
        self._alive = True
        self._told_policy = ""

    def ended(self) -> None:
        """The recorder is gone: nobody will answer."""
        self._alive = False
        self._open.clear()
        self.status = RecordingStatus(last_error="the recorder ended; it is started again")

    def open_session(self, request: messages.OpenSession) -> Pending:
        reset_s = self._reset_s if request.reset_s is None else request.reset_s
        if request.episodes < 1 or (request.episode_limit_s or 1.0) <= 0:
            raise StateError(
                "A session has at least one episode, of more than no time.",
                "A number was mistyped.",
                "Give --episodes 1 or more.",
            )
        if not 0 <= reset_s <= LONGEST_RESET_S:
            raise StateError(
                f"A reset cannot last {reset_s:g} s.",
                "A number was mistyped.",
                f"Give 0 to {LONGEST_RESET_S:g} s; Space ends it earlier.",
            )
        keep_last_s = self._keep_last_s if request.keep_last_s is None else request.keep_last_s
        if not 0 <= keep_last_s <= LONGEST_KEEP_LAST_S:
            raise StateError(
                f"The last {keep_last_s:g} s cannot be held.",
                "A number was mistyped.",
                f"Give 0 (none) to {LONGEST_KEEP_LAST_S:g} s.",
            )
        return self._send(
            lambda number: channel.Open(
                id=number,
                dataset=request.dataset,
                task=request.task,
                episodes=request.episodes,
                episode_limit_s=request.episode_limit_s,
                units=request.units,
                reset_s=reset_s,
                auto=request.auto,
                keep_last_s=keep_last_s,
            )
        )

    def close_session(self) -> Pending:
        return self._send(lambda number: channel.Close(id=number), _PUBLISH_S)

    def set_task(self, request: messages.SetTask) -> Pending:
        return self._send(lambda number: channel.SetTask(id=number, task=request.task))

    def start_episode(self, armed: bool, policy_sha256: str) -> Pending:
        """Begin recording. Raises StateError while nobody holds the arm."""
        if not armed:
            raise StateError(
                "The arm is not armed, so there is nothing to record.",
                "It was let down, or a fault stopped it.",
                "Arm it first: robotd arm.",
            )
        return self._send(lambda number: channel.Start(id=number, policy_sha256=policy_sha256))

    def keep(self, request: messages.KeepEpisode) -> Pending:
        return self._send(lambda number: channel.Keep(id=number, success=request.success))

    def discard(self, request: messages.DiscardEpisode) -> Pending:
        return self._send(lambda number: channel.Discard(id=number, again=request.again))

    def mark(self, request: messages.MarkEpisode) -> Pending:
        return self._send(lambda number: channel.Mark(id=number, name=request.name))

    def label(self, request: messages.LabelEpisode) -> Pending:
        return self._send(
            lambda number: channel.SetLabel(id=number, success=request.success, note=request.note),
            _PUBLISH_S,
        )

    def keep_last(self, request: messages.KeepLast) -> Pending:
        return self._send(
            lambda number: channel.KeepLast(
                id=number, seconds=request.seconds, success=request.success
            ),
            _PUBLISH_S,
        )

    def policy_is(self, sha256: str) -> None:
        """Which policy is loaded, for episodes that begin by themselves. Said once for each."""
        if not self._alive or sha256 == self._told_policy:
            return
        if self._line.send(channel.encode(channel.SetPolicy(id=_UNANSWERED, sha256=sha256))):
            self._told_policy = sha256

    def undo(self) -> Pending:
        return self._send(lambda number: channel.Undo(id=number), _PUBLISH_S)

    def list_interrupted(self) -> Pending:
        return self._send(lambda number: channel.ListInterrupted(id=number))

    def decide_interrupted(self, request: messages.DecideInterrupted) -> Pending:
        return self._send(
            lambda number: channel.Decide(
                id=number, journal=request.journal, keep=request.keep, into=request.into
            ),
            _PUBLISH_S,
        )

    def receive(self) -> None:
        """Take what the recorder said."""
        for body in self._line.receive():
            try:
                message = channel.decode_from_recorder(body)
            except msgspec.DecodeError as error:
                log.error("the recorder said something that is not understood: %s", error)
                continue
            if isinstance(message, channel.Now):
                self.status = message.status
            elif message.id in self._open:
                self._answers[message.id] = message

    def close(self) -> None:
        self._line.close()

    def _send(self, make: Make, limit_s: float = _ANSWER_S) -> Pending:
        self._last_id += 1
        number = self._last_id
        if not self._alive or not self._line.send(channel.encode(make(number))):
            raise DaemonError(
                "The recorder does not run.",
                "It is starting, or it ended.",
                "Look: robotd status; robotd logs recorder.",
            )
        self._open.add(number)

        def poll() -> Data | None:
            answer = self._answers.pop(number, None)
            if answer is None:
                if number not in self._open:
                    raise DaemonError(
                        "The recorder ended before it answered.",
                        "It was killed, or it failed; what was recorded is on the disk.",
                        "It is started again by itself: robotd logs recorder.",
                    )
                return None
            self._open.discard(number)
            if isinstance(answer, channel.Refused):
                raise named_error(answer.kind, answer.what, answer.likely, answer.do)
            return answer.data

        return Pending(poll, limit_s, "recorder")


def named_error(kind: str, what: str, likely: str, do: str) -> RobotdError:
    """The error type of that name, or the base for one that is not known here."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, RobotdError):
        return found(what, likely, do)
    return RobotdError(what, likely, do)
