"""Asking again with one thing changed: another moment's input, a mistake taken back, other words.

On the first of the places that were asked, as they were observed there, until the time is over.
"""

import difflib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from policies.border import IMAGES, STATE
from policies.probe.asking import Asker, Values
from policies.probe.facts import CheckpointFacts
from policies.probe.report import InputUse, Listening
from policies.probe.reruns import variants
from policies.probe.samples import Array, Place, Samples
from policies.probe.undo import Trial, Undo, tried

MOST = 24  # moments of each rerun
_FEWEST = 6
_ANOTHER = "open the drawer"


class Again:
    """Reruns on the first of the places, until the time is over."""

    def __init__(
        self,
        asker: Asker,
        samples: Samples,
        places: Sequence[Place],
        moments: Sequence[Values],
        deadline_s: float,
        each_s: float,
    ) -> None:
        self._asker = asker
        self._deadline_s = deadline_s
        reruns = 4 + len(asker.fit.inputs) + (12 if not asker.fit.cameras else 16)
        left_s = max(0.0, deadline_s - time.monotonic())
        count = int(np.clip(left_s / each_s / reruns, _FEWEST, MOST))
        self._places = list(places[:count])
        self._moments = moments[:count]
        self._base = samples.part(np.arange(len(self._places)))
        self.left_out: list[str] = []
        spread = samples.said.std(axis=(0, 1))
        self._spread = np.maximum(spread, 1e-6 * max(1.0, float(np.abs(samples.said).max())))

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._deadline_s

    def _said(self, moments: Sequence[Values], tasks: Sequence[str]) -> Array:
        return np.array(self._asker.say_all(moments, tasks))

    def _tasks(self) -> list[str]:
        return [self._asker.instruction(place) for place in self._places]

    def _change(self, said: Array) -> float:
        """How much was said differently, in the policy's own spreads, the mean of all joints."""
        return float((np.abs(said - self._base.said) / self._spread).mean())

    def inputs(self) -> tuple[InputUse, ...]:
        """What each input matters: shown the one of another moment, best of another episode."""
        again = self._change(self._said(self._moments, self._tasks()))
        other = _far_apart([place.episode for place in self._places])
        found = []
        for key in dict.fromkeys(self._asker.fit.inputs.values()):
            if key not in self._moments[0]:
                continue
            moments = [
                {**moment, key: self._moments[far][key]}
                for moment, far in zip(self._moments, other, strict=True)
            ]
            change = self._change(self._said(moments, self._tasks()))
            found.append(InputUse(key=key, change=change, again=again))
        return tuple(found)

    def variants(self, state: Mapping[str, Array]) -> list[Trial]:
        """Every mistake that needs a rerun, taken back."""
        asker = self._asker
        cameras = {
            key: asker.recording.cameras[key]
            for key in dict.fromkeys(asker.fit.inputs.values())
            if key.startswith(IMAGES)
        }
        reads_state = STATE in asker.fit.inputs.values()
        found = []
        for variant in variants(self._base, cameras, state, reads_state=reads_state):
            if self._over:
                self.left_out.append(variant.detail)
                continue
            said = self._said([variant.change(each) for each in self._moments], self._tasks())
            read = said if variant.read is None else variant.read(said)
            joints = tuple(range(len(self._base.joints)))
            undo = Undo(variant.cause, variant.detail, self._base.saying(read), joints)
            found.append(tried(self._base, undo))
        return found

    def listening(self, facts: CheckpointFacts, inputs: Sequence[InputUse]) -> Listening:
        """What another instruction changes."""
        tasks = self._tasks()
        known = facts.instructions or ()
        recorded = tuple(self._asker.recording.tasks.values())
        others = [each for each in (*known, *recorded) if each != tasks[0]] or [_ANOTHER]
        instead = [next((each for each in others if each != task), _ANOTHER) for task in tasks]
        change = self._change(self._said(self._moments, instead))
        pictures = [each.change for each in inputs if each.key.startswith(IMAGES)]
        near = difflib.get_close_matches(tasks[0], known, 1, 0.0)
        return Listening(
            task=tasks[0],
            other=instead[0],
            prompt_change=change,
            picture_change=max(pictures or [each.change for each in inputs] or [0.0]),
            trained=None if facts.instructions is None else tasks[0] in known,
            nearest=near[0] if near else "",
            instructions=len(known) or len(set(recorded)),
        )


def _far_apart(episodes: Sequence[int]) -> list[int]:
    """For each moment another one, of another episode where there is one."""
    count = len(episodes)
    found = []
    for i in range(count):
        ways = [(i + step) % count for step in range(count // 2, count // 2 + count)]
        found.append(next((far for far in ways if episodes[far] != episodes[i]), ways[0]))
    return found
