"""Looking back: the last moments of what is being watched, one step at a time. Pure.

SPACE stops the picture and lets it go on, LEFT and RIGHT step through what was, R goes back to now.
What is watched goes on meanwhile: stopping the picture stops nothing else.
"""

from collections import deque

KEPT = 500
KEYS = "SPACE pause   LEFT/RIGHT step   R now   q leave"


class History[Moment]:
    """The last `KEPT` moments, and which of them is shown."""

    def __init__(self, kept: int = KEPT) -> None:
        self._moments: deque[Moment] = deque(maxlen=kept)
        self._first = 0  # the number of the oldest moment that is kept
        self._shown: int | None = None  # None: the newest

    def add(self, moment: Moment) -> None:
        """A new moment. One that is shown while it falls out of memory gives way to the next."""
        if len(self._moments) == self._moments.maxlen:
            self._first += 1
        self._moments.append(moment)
        if self._shown is not None:
            self._shown = max(self._shown, self._first)

    @property
    def shown(self) -> Moment | None:
        """What is to be looked at; None before the first."""
        if not self._moments:
            return None
        return self._moments[-1 if self._shown is None else self._shown - self._first]

    @property
    def back(self) -> int | None:
        """How many moments before the newest the shown one is; None while the picture is live."""
        return None if self._shown is None else self._last - self._shown

    @property
    def _last(self) -> int:
        return self._first + len(self._moments) - 1

    def press(self, key: str) -> bool:
        """Take a key as `Canvas.pressed` names it; False when it means nothing here."""
        if key not in (" ", "left", "right", "r", "R"):
            return False
        if not self._moments:
            return True
        at = self._last if self._shown is None else self._shown
        if key == "left":
            self._shown = max(self._first, at - 1)
        elif key == "right":
            self._shown = min(self._last, at + 1)
        elif key == " ":
            self._shown = at if self._shown is None else None
        else:
            self._shown = None
        return True
