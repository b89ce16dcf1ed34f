"""What the panels draw from: the newest status, how old it is, and what this screen remembers. Pure
values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.text import Text

from robotd.clock import NS_PER_S
from robotd.messages import Instance, Status
from robotd.uploading import Uploads
from tui.jog import Jog
from tui.look import Look

LOST_AFTER_NS = NS_PER_S
"""States come ten times a second: a second without one is a lost daemon, not a late message."""

LIMIT_SHOWN_NS = 3 * NS_PER_S
"""How long a reason stays readable after it ended."""

NOTE_SHOWN_NS = 15 * NS_PER_S
LOOP_SILENT_MS = 250.0
"""A tick comes every 8 ms: after this long without one, what was read last is no longer now."""

SCRIPTED = "a script: robotd record --source scripted …"
"""The source that no screen can be: it computes, and this screen imports nothing that does."""

HISTORY = 24


@dataclass(frozen=True, slots=True)
class Note:
    """Something for the person. `level`: info, warn or bad. `do` is the next action, `likely` the
    probable cause."""

    text: str
    level: str
    stamp_ns: int
    do: str = ""
    likely: str = ""


@dataclass(frozen=True, slots=True)
class Limited:
    """What limited a joint, and when it was last seen doing so."""

    joint: str
    words: str
    seen_ns: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything a panel may show at `now_ns` (CLOCK_MONOTONIC)."""

    instance: Instance
    look: Look
    now_ns: int = 0
    status: Status | None = None
    received_ns: int = 0
    pending: str = ""
    jog: Jog | None = None
    note: Note | None = None
    limited: Mapping[str, Limited] = field(default_factory=dict)
    residual_deg: tuple[float, ...] = ()
    picture_ns: Mapping[str, int] = field(default_factory=dict)
    uploads: Uploads | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the newest status came (since the start when none has)."""
        return max(0, self.now_ns - self.received_ns) / NS_PER_S

    @property
    def lost(self) -> bool:
        """Whether the numbers on the screen are no longer current."""
        return self.now_ns - self.received_ns > LOST_AFTER_NS

    @property
    def loop_silent_ms(self) -> float:
        """How long control has given no tick; 0 while it gives them."""
        age_ms = 0.0 if self.status is None else self.status.loop.age_ms
        return age_ms if age_ms > LOOP_SILENT_MS else 0.0

    @property
    def simulated(self) -> bool:
        """Whether the body is in MuJoCo."""
        return self.instance.simulated if self.status is None else self.status.simulated


def with_status(view: View, status: Status, now_ns: int) -> View:
    """The view after a new status came."""
    limited = {
        name: entry
        for name, entry in view.limited.items()
        if now_ns - entry.seen_ns < LIMIT_SHOWN_NS
    }
    for joint in status.joints:
        if joint.limited_by:
            limited[joint.name] = Limited(joint.name, joint.limited_by, now_ns)
    worst = max((abs(value) for value in status.twin.residual_deg), default=0.0)
    history = (*view.residual_deg, worst)[-HISTORY:] if status.twin.alive else ()
    return replace(
        view,
        status=status,
        now_ns=now_ns,
        received_ns=now_ns,
        limited=limited,
        residual_deg=history,
    )


def aged(view: View, lines: Sequence[Text]) -> Text:
    """The lines as one text; without any colour that could pass for the present when it is lost."""
    shown = [Text(line.plain, style=view.look.faint) if view.lost else line for line in lines]
    return Text("\n").join(shown)


def current_note(view: View) -> Note | None:
    """The note while it is fresh enough to mean anything."""
    if view.note is None or view.now_ns - view.note.stamp_ns > NOTE_SHOWN_NS:
        return None
    return view.note


def age_words(seconds: float) -> str:
    """An age as a person reads it: `40 ms`, `3.2 s`, `12 min`."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"


def span_words(seconds: float) -> str:
    """A long span: `6 h 10 min`, `48 min`, `30 s`."""
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def clock_words(seconds: float) -> str:
    """A running time: `00:07.4`."""
    tenths = int(seconds * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
