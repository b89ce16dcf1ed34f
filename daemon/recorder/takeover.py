"""Who had the arm in an episode, row by row: a person, a policy, or a person correcting it.

An episode that a policy drives stays one episode when a person takes over and gives back. Each
takeover has a number, so that training can weigh or cut out what a person corrected.
"""

from robotd.states import Source

_PERSONS = {Source.LEADER, Source.KEYBOARD, Source.SCRIPTED, Source.CORRECTION}

CORRECTION = Source.CORRECTION.name.lower()
"""The word in a row's evidence for every person's source after a policy had the arm."""


class Takeovers:
    """One episode's takeovers. `count` is how many there were so far."""

    def __init__(self) -> None:
        self.count = 0
        self._policy_drove = False
        self._inside = False

    def of(self, source: Source) -> tuple[str, int]:
        """The row's source in a word and the number of its takeover, from 0; -1 outside of one.

        A takeover lasts as long as a person has the arm; being handed from the leader to the
        keyboard is the same one. What is held after it is nobody's.
        """
        self._policy_drove |= source is Source.POLICY
        correcting = self._policy_drove and source in _PERSONS
        self.count += correcting and not self._inside
        self._inside = correcting
        if correcting:
            return CORRECTION, self.count - 1
        return source.name.lower(), -1
