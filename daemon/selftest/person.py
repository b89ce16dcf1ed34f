"""Who stands at the arm: asked before anything moves, and asked what they saw.

Questions are put and then polled for, because the arm is looked after while somebody thinks.
"""

import select
import sys
from enum import Enum
from typing import Protocol, TextIO

from robotd.errors import StateError


class Answer(Enum):
    """What a person said. UNSEEN: nobody was there to look."""

    YES = "yes"
    NO = "no"
    STOP = "stop"
    UNSEEN = "unseen"


class Person(Protocol):
    """The one who is asked. No call waits."""

    hands: bool
    """Whether somebody can take the limp arm and move it."""

    def tell(self, text: str) -> None:
        """Say something that needs no answer."""
        ...

    def ask(self, question: str, *, seen: bool) -> None:
        """Put a question. `seen`: about what the arm did, which only eyes can answer; else it asks
        for consent to what is going to happen."""
        ...

    def answer(self) -> Answer | None:
        """The answer to the last question; None: not yet."""
        ...


class Terminal:
    """A person at a terminal: Return or y, n, or q. Return is consent, never something seen: only
    a typed y or n lifts the caps of an untried arm."""

    def __init__(self, hands: bool, out: TextIO) -> None:
        self.hands = hands
        self._out = out
        self._seen = False
        if not sys.stdin.isatty():
            raise StateError(
                "Nobody can be asked: this is not a terminal.",
                "The selftest was started from a script or over a pipe.",
                "Run it in a terminal beside the arm; --yes consents to everything in advance.",
            )

    def tell(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def ask(self, question: str, *, seen: bool) -> None:
        self._seen = seen
        keys = "y = yes, n = no" if seen else "Return = go on, n = skip"
        self._out.write(f"\n{question}\n  [{keys}, q = stop] ")
        self._out.flush()

    def answer(self) -> Answer | None:
        if not select.select([sys.stdin], [], [], 0.0)[0]:
            return None
        line = sys.stdin.readline()
        if not line:
            return Answer.STOP  # the terminal was closed
        word = line.strip().lower()[:1]
        known = {"y": Answer.YES, "n": Answer.NO, "q": Answer.STOP}
        if not self._seen:
            return Answer.YES if word == "" else known.get(word, Answer.NO)
        if word not in known:
            self._out.write("  What did you see? [y = yes, n = no, q = stop] ")
            self._out.flush()
        return known.get(word)


class Assenting:
    """Nobody: consents to everything in advance, has seen nothing, and has no hands."""

    hands = False

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._seen = False

    def tell(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def ask(self, question: str, *, seen: bool) -> None:
        self._seen = seen
        if not seen:
            self.tell(f"\n{question}")

    def answer(self) -> Answer | None:
        return Answer.UNSEEN if self._seen else Answer.YES
