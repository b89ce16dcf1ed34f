"""The probe itself: ask at many moments, ask again with one thing changed, and judge.

Within a time budget: as many moments as fit, shuffled over the recording so that any first part of
them stands for the whole, and the reruns on the first of them.
"""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from policies.border import ACTION, IMAGES, STATE
from policies.checkpoint.digests import FileDigests
from policies.probe.asking import Asker, Values
from policies.probe.facts import CheckpointFacts
from policies.probe.heldout import HeldOut
from policies.probe.judge import Seen, judge, outcome_of
from policies.probe.measure import (
    correlation,
    displacement,
    gripper_events,
    joint_figures,
    overall,
    stands_still_error,
)
from policies.probe.report import (
    Finding,
    Gripper,
    InputUse,
    Joint,
    Latency,
    Listening,
    ProbeReport,
    Tried,
)
from policies.probe.reruns import variants
from policies.probe.samples import Array, Place, Samples, choose_places, done_after
from policies.probe.undo import Trial, Undo, best, mistakes, tried

_MAIN_SHARE = 0.55  # of the time goes to the moments as they were
_FEWEST, _RERUN = 12, 24  # moments, at least; and for each rerun, at most
_GOOD, _MENDED = 0.2, 0.3  # spreads
_OTHER_RATES = (0.5, 2.0, 1.0 / 3.0, 3.0)
_ANOTHER = "open the top drawer and leave everything else as it is"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much to look at: moments at most, and seconds in all."""

    frames: int = 500
    seconds: float = 50.0


def examine(
    asker: Asker, facts: CheckpointFacts, held: HeldOut, limits: Limits, say: Progress
) -> ProbeReport:
    """Probe one model on one recording. Raises CheckpointError for actions that are no numbers."""
    began_s = time.monotonic()
    lengths = [(episode, len(rows)) for episode, rows in sorted(asker.rows.items())]
    places = choose_places(lengths, limits.frames)
    asker.warm_up(places[0])
    each_s = _seconds_each(asker, places[0])
    count = int(np.clip(limits.seconds * _MAIN_SHARE / each_s, _FEWEST, len(places)))
    places = places[: max(1, min(count, len(places)))]
    said: list[Array] = []
    for number, place in enumerate(places):
        said.append(asker.say(asker.moment(place), asker.instruction(place)))
        if number % 50 == 49:
            say(f"{number + 1} of {len(places)} moments")
    latency = _latency(asker)
    samples = asker.samples(places, said, asker.ratio)
    trials = [
        tried(samples, undo) for undo in mistakes(samples, facts.action, _rates(asker, places))
    ]

    again = _Again(asker, samples, places, began_s + limits.seconds, each_s)
    inputs = again.inputs()
    say("asking again with one input changed")
    if not _settled(trials, overall(samples)):
        trials += again.variants(_state_statistics(asker))
    listening = again.listening(facts, inputs) if facts.reads_language else None
    grippers = gripper_events(samples, 1.0 / asker.model.evidence.fps)
    seen = Seen(
        error=overall(samples),
        standing_still=stands_still_error(samples),
        displacement=displacement(samples),
        joints=joint_figures(samples),
        grippers=grippers,
        trials=tuple(trials),
        inputs=inputs,
        listening=listening,
        state_follows=_state_follows(asker, samples),
        untrained=facts.untrained,
        picture_statistics=facts.picture_statistics,
        reads_state=STATE in asker.fit.inputs.values(),
    )
    findings = tuple(_addressed(each, asker) for each in judge(seen))
    return ProbeReport(
        outcome=outcome_of(findings),
        cause=findings[0].cause if findings else "",
        findings=findings,
        policy=asker.model.interface.name,
        kind=asker.model.kind,
        fps=asker.model.evidence.fps,
        units=asker.model.evidence.units,
        embodiment=asker.embodiment,
        checkpoint_sha256=asker.model.sha256(FileDigests()),
        dataset=str(asker.recording.root),
        dataset_sha256=asker.recording.sha256(),
        held_out=held.held_out,
        episodes=held.words,
        frames=len(places),
        steps=asker.steps,
        error=seen.error,
        standing_still=seen.standing_still,
        displacement=seen.displacement,
        joints=tuple(_joint(each) for each in seen.joints),
        grippers=tuple(
            Gripper(
                name=each.name,
                events=each.events,
                missed=each.missed,
                invented=each.invented,
                offset_s=each.offset_s,
            )
            for each in grippers
        ),
        inputs=inputs,
        listening=listening,
        latency_ms=latency,
        tried=tuple(_tried(each) for each in trials),
        notes=_notes(again, held),
        seconds=time.monotonic() - began_s,
    )


def _settled(trials: Sequence[Trial], error: float) -> bool:
    """Whether no rerun can tell more: it is good, or one mistake taken back makes it good."""
    mended = best([each for each in trials if not each.fitted])
    return error < _GOOD or (mended is not None and mended.left < _MENDED)


def _seconds_each(asker: Asker, place: Place) -> float:
    """What one moment costs, its pictures and all."""
    began_s = time.monotonic()
    asker.say(asker.moment(place), asker.instruction(place))
    return max(time.monotonic() - began_s, 1e-4)


def _latency(asker: Asker) -> Latency:
    whole, before, infer, after = np.array(asker.times_ms).T
    return Latency(
        p50=float(np.median(whole)),
        p95=float(np.quantile(whole, 0.95)),
        preprocess=float(np.median(before)),
        infer=float(np.median(infer)),
        post=float(np.median(after)),
        device=asker.device,
    )


def _rates(asker: Asker, places: Sequence[Place]) -> dict[float, Array]:
    """What was done after each place, had the model's step been longer or shorter."""
    found = {}
    for factor in _OTHER_RATES:
        done = [
            done_after(
                asker.rows[p.episode].vectors[ACTION], p.row, asker.steps, asker.ratio * factor
            )
            for p in places
        ]
        found[factor] = np.array(done)
    return found


def _state_statistics(asker: Asker) -> dict[str, Array]:
    every = [rows.vectors[STATE] for rows in asker.rows.values() if STATE in rows.vectors]
    if not every:
        return {}
    flat = np.concatenate(every)
    return {"mean": flat.mean(axis=0), "std": flat.std(axis=0)}


def _state_follows(asker: Asker, samples: Samples) -> tuple[float, ...] | None:
    """How well each moved joint's state follows the action of the row before."""
    if samples.state is None:
        return None
    found = []
    for j in range(len(samples.joints)):
        if not samples.moved[j]:
            continue
        before = [rows.vectors[ACTION][:-1, j] for rows in asker.rows.values()]
        after = [rows.vectors[STATE][1:, j] for rows in asker.rows.values()]
        found.append(correlation(np.concatenate(after), np.concatenate(before)))
    return tuple(found)


class _Again:
    """Reruns on the first of the places, until the time is over."""

    def __init__(
        self,
        asker: Asker,
        samples: Samples,
        places: Sequence[Place],
        deadline_s: float,
        each_s: float,
    ) -> None:
        self._asker = asker
        self._deadline_s = deadline_s
        reruns = 4 + len(asker.fit.inputs) + (12 if not asker.fit.cameras else 16)
        left_s = max(0.0, deadline_s - time.monotonic())
        count = int(np.clip(left_s / each_s / reruns, 6, min(_RERUN, len(places))))
        self._places = list(places[:count])
        self._moments = [asker.moment(place) for place in self._places]
        self._base = samples.part(np.arange(count))
        self.left_out: list[str] = []
        spread = samples.said.std(axis=(0, 1))
        self._spread = np.maximum(spread, 1e-6 * max(1.0, float(np.abs(samples.said).max())))

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._deadline_s

    def _said(self, moments: Sequence[Values], tasks: Sequence[str]) -> Array:
        asked = zip(moments, tasks, strict=True)
        return np.array([self._asker.say(moment, task) for moment, task in asked])

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


def _addressed(finding: Finding, asker: Asker) -> Finding:
    """The mend with the names of this checkpoint and this recording in its commands."""
    root = str(asker.recording.root)
    do = finding.do.replace("POLICY", asker.model.interface.name)
    return msgspec.structs.replace(finding, do=do.replace("DATASET", root).replace("NAME", root))


def _joint(figures: object) -> Joint:
    from dataclasses import asdict

    return Joint(**asdict(figures))  # type: ignore[call-overload]


def _tried(trial: Trial) -> Tried:
    return Tried(
        cause=trial.cause,
        detail=trial.detail,
        before=trial.before,
        after=trial.after,
        left=trial.left,
        share=trial.share,
        believed=trial.believed,
    )


def _notes(again: _Again, held: HeldOut) -> tuple[str, ...]:
    notes = []
    if held.held_out is not True:
        notes.append(held.words)
    if again.left_out:
        notes.append(
            f"no time was left for {len(again.left_out)} of the mistakes that need a rerun "
            "(--seconds gives more)"
        )
    return tuple(notes)
