"""When a child that ended is started again. Pure: times go in, a decision comes out.

Back-off grows with each end inside a window, and after too many the child stays down and says so:
a process that dies at once for ever helps nobody and hides its reason in noise.
"""

from dataclasses import dataclass

from robotd.clock import NS_PER_S

WINDOW_NS = 60 * NS_PER_S
ENDS_ALLOWED = 5  # in one window
FIRST_BACKOFF_NS = NS_PER_S // 2
LONGEST_BACKOFF_NS = 10 * NS_PER_S


@dataclass(frozen=True, slots=True)
class History:
    """When a child ended unasked, newest last, within the window."""

    ends_ns: tuple[int, ...] = ()


def ended(history: History, now_ns: int) -> History:
    """The history after one more unexpected end."""
    recent = tuple(when for when in history.ends_ns if now_ns - when < WINDOW_NS)
    return History((*recent, now_ns))


def given_up(history: History) -> bool:
    """Whether the child ended too often to be started again by itself."""
    return len(history.ends_ns) > ENDS_ALLOWED


def restart_at_ns(history: History) -> int | None:
    """When the child may start again; None when it was given up or never ended."""
    if not history.ends_ns or given_up(history):
        return None
    backoff_ns = min(FIRST_BACKOFF_NS << (len(history.ends_ns) - 1), LONGEST_BACKOFF_NS)
    return history.ends_ns[-1] + backoff_ns
