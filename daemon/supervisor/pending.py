"""Replies that cannot be given at once. The loop asks each at every pass and waits for none.

A request handler returns the reply's data, or a `Pending` that will have it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robotd.errors import DaemonError, RobotdError
from robotd.messages import Failed, Ok, Reply

log = logging.getLogger(__name__)

type Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer to come. `poll` returns the data, None for not yet, or raises RobotdError.

    `whose` names who is waited for, in the error when `limit_s` has passed.
    """

    poll: Callable[[], Data | None]
    limit_s: float
    whose: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    client: bytes
    id: int
    deadline_ns: int
    pending: Pending


class Waiters:
    """Everybody who waits for an answer."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, client: bytes, request_id: int, pending: Pending, now_ns: int) -> None:
        deadline_ns = now_ns + int(pending.limit_s * 1e9)
        self._waiting.append(_Waiting(client, request_id, deadline_ns, pending))

    def answers(self, now_ns: int) -> list[tuple[bytes, Reply]]:
        """The answers that are there now, or whose time is up."""
        found: list[tuple[bytes, Reply]] = []
        still: list[_Waiting] = []
        for waiting in self._waiting:
            reply = _poll(waiting, now_ns)
            if reply is None:
                still.append(waiting)
            else:
                found.append((waiting.client, reply))
        self._waiting = still
        return found


def _poll(waiting: _Waiting, now_ns: int) -> Reply | None:
    try:
        data = waiting.pending.poll()
    except RobotdError as error:
        return failure(waiting.id, error)
    except Exception as error:  # a mistake of ours: this answer fails, the others are still given
        log.exception("waiting for %s failed", waiting.pending.whose)
        return failure(waiting.id, unexpected("the request", error))
    if data is not None:
        return Ok(id=waiting.id, data=data)
    if now_ns < waiting.deadline_ns:
        return None
    whose = waiting.pending.whose
    return failure(
        waiting.id,
        DaemonError(
            f"No answer from {whose} within {waiting.pending.limit_s:g} s.",
            "It is busy, stuck or gone.",
            f"Look: robotd status; robotd logs {whose}. The request may still take effect.",
        ),
    )


def failure(request_id: int, error: RobotdError) -> Failed:
    """An error as a reply."""
    return Failed(
        id=request_id,
        kind=type(error).__name__,
        what=error.what,
        likely=error.likely,
        do=error.do,
    )


def unexpected(what: str, error: Exception) -> DaemonError:
    """An exception that nobody foresaw, as an error in three parts."""
    return DaemonError(
        f"{what} failed: {type(error).__name__}: {error}.",
        "A full or broken disk, a value that nobody foresaw, or a mistake in robotd.",
        "The arm is as it was. Look: robotd status; robotd logs supervisor has the details.",
    )
