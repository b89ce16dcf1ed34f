"""How things look: colours by role, glyphs, and one word + glyph + colour for every state.

Two looks carry the same information. `RICH` is for a terminal with true colour and Unicode; `PLAIN`
keeps to ASCII and the sixteen colours of a Linux console or a serial line. No panel says anything
by colour alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from robotd.states import State


@dataclass(frozen=True, slots=True)
class Look:
    """One way to draw. Colours are `#rrggbb`; every glyph is one terminal column wide."""

    ascii: bool
    background: str
    panel: str
    border: str
    text: str
    dim: str
    faint: str
    accent: str
    good: str
    warn: str
    bad: str
    violet: str
    blue: str
    track: str
    zero: str
    measured: str
    applied: str
    goal: str
    alert: str
    tick: str
    cross: str
    half: str
    record: str
    stop: str
    full_bar: str
    empty_bar: str
    degree: str
    dot: str
    arrow_right: str
    arrow_left: str
    up: str
    down: str
    spark: str
    beyond_left: str
    beyond_right: str
    dash: str
    filled_red: str

    def glyph(self, state: "StateLook") -> str:
        """The glyph of a state in this look."""
        return state.plain_glyph if self.ascii else state.glyph

    def colour(self, role: str) -> str:
        """The colour of a role: text, dim, accent, good, warn, bad, violet or blue."""
        value = getattr(self, role)
        assert isinstance(value, str)
        return value


RICH = Look(
    ascii=False,
    background="#0d1117",
    panel="#10161e",
    border="#2d3a4a",
    text="#d5dde6",
    dim="#8593a3",
    faint="#4d5a68",
    accent="#56c7f5",
    good="#62d68b",
    warn="#f5b94a",
    bad="#ff6464",
    violet="#bd93ff",
    blue="#7aa8ff",
    track="─",
    zero="┼",
    measured="●",
    applied="○",
    goal="│",
    alert="▲",
    tick="✓",
    cross="✗",
    half="▀",
    record="●",
    stop="■",
    full_bar="━",
    empty_bar="─",
    degree="°",
    dot="·",
    arrow_right="→",
    arrow_left="←",
    up="↑",
    down="↓",
    spark="▁▂▃▄▅▆▇█",
    beyond_left="◄",
    beyond_right="►",
    dash="–",
    filled_red="#b3202e",
)

PLAIN = Look(
    ascii=True,
    background="#000000",
    panel="#000000",
    border="#aaaaaa",
    text="#ffffff",
    dim="#aaaaaa",
    faint="#aaaaaa",
    accent="#55ffff",
    good="#55ff55",
    warn="#ffff55",
    bad="#ff5555",
    violet="#ff55ff",
    blue="#55ffff",
    track="-",
    zero="+",
    measured="O",
    applied="o",
    goal="|",
    alert="!",
    tick="+",
    cross="x",
    half="#",
    record="*",
    stop="#",
    full_bar="#",
    empty_bar=".",
    degree="",
    dot="-",
    arrow_right="->",
    arrow_left="<-",
    up="up",
    down="down",
    spark="_.-=+*#@",
    beyond_left="<",
    beyond_right=">",
    dash="-",
    filled_red="#aa0000",
)


def choose_look(plain: bool, environment: Mapping[str, str] | None = None) -> Look:
    """`PLAIN` where asked for, on a Linux console, with NO_COLOR, or in a locale without UTF-8."""
    env = os.environ if environment is None else environment
    locale = (env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "").lower()
    narrow_locale = bool(locale) and "utf" not in locale  # C too: it promises ASCII, no more
    if plain or narrow_locale or env.get("NO_COLOR") or env.get("TERM") in ("linux", "vt100"):
        return PLAIN
    return RICH


@dataclass(frozen=True, slots=True)
class StateLook:
    """A state as a person reads it. `role` is a colour role of `Look`; `filled` paints a block
    behind the word."""

    word: str
    glyph: str
    plain_glyph: str
    role: str
    filled: bool = False


STATE_LOOKS: dict[State, StateLook] = {
    State.DISARMED: StateLook("DISARMED", "○", "o", "dim"),
    State.ARMING: StateLook("ARMING", "◔", "~", "warn"),
    State.HOLDING: StateLook("HOLDING", "■", "=", "accent"),
    State.TELEOP: StateLook("TELEOP", "►", ">", "good", filled=True),
    State.POLICY: StateLook("POLICY", "◆", "@", "violet", filled=True),
    State.REPLAY: StateLook("REPLAY", "↻", "%", "blue", filled=True),
    State.HOMING: StateLook("HOMING", "⌂", "^", "good", filled=True),
    State.PARKING: StateLook("PARKING", "▽", "v", "warn", filled=True),
    State.RELEASING: StateLook("RELEASING", "▼", "V", "warn", filled=True),
    State.FAULT: StateLook("FAULT", "✗", "X", "bad", filled=True),
    State.ESTOP: StateLook("E-STOP", "■", "#", "bad", filled=True),
}


LATCHED = (State.FAULT, State.ESTOP)
"""States that a person clears. The supervisor knows of them without a living control loop."""


def parse_state(word: str) -> State | None:
    """The state that a status names, or None for a word of a newer daemon."""
    try:
        return State[word.upper().replace("-", "")]
    except KeyError:
        return None


def state_look(word: str) -> StateLook:
    """How to draw the state that a status names; an unknown word is shown as it came."""
    state = parse_state(word)
    return StateLook(word.upper(), "?", "?", "warn") if state is None else STATE_LOOKS[state]
