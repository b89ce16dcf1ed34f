"""The probe itself: ask at many moments, ask again with one thing changed, and judge.

Within a time budget: as many moments as fit, shuffled over the recording so that any first part of
them stands for the whole, and the reruns on the first of them. The moments that fit are asked in the
order of the recording, so that each picture is decoded once and none twice.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from policies.border import ACTION, STATE
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.many import pictures_remembered
from policies.probe.again import MOST, Again
from policies.probe.asking import Asker, Values
from policies.probe.facts import CheckpointFacts
from policies.probe.heldout import HeldOut, dataset_here
from policies.probe.judge import Seen, judge, outcome_of
from policies.probe.measure import (
    correlation,
    displacement,
    gripper_events,
    joint_figures,
    overall,
    stands_still_error,
)
from policies.probe.ranges import out_of_range
from policies.probe.report import (
    Finding,
    Gripper,
    Joint,
    Latency,
    ProbeReport,
    Tried,
)
from policies.probe.samples import Array, Place, Samples, choose_places, done_after
from policies.probe.undo import Trial, best, mistakes, tried

_MAIN_SHARE = 0.55  # of the time goes to the moments as they were
_FEWEST, _TIMED = 12, 12  # moments
_GOOD, _MENDED = 0.2, 0.3  # spreads
_OTHER_RATES = (0.5, 2.0, 1.0 / 3.0, 3.0)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much to look at: moments at most, and seconds in all."""

    frames: int = 120
    seconds: float = 30.0


def examine(
    asker: Asker, facts: CheckpointFacts, held: HeldOut, limits: Limits, say: Progress
) -> ProbeReport:
    """Probe one model on one recording. Raises CheckpointError for actions that are no numbers."""
    began_s = time.monotonic()
    lengths = [(episode, len(rows)) for episode, rows in sorted(asker.rows.items())]
    places = choose_places(lengths, limits.frames)
    asker.warm_up(places[0])
    each_s = _seconds_each(asker, places)
    count = int(np.clip(limits.seconds * _MAIN_SHARE / each_s, _FEWEST, len(places)))
    places = places[: max(1, min(count, len(places)))]
    said, moments = _asked(asker, places, say)
    _timed(asker, moments, places)
    latency = _latency(asker)
    samples = asker.samples(places, said, asker.ratio)
    trials = [
        tried(samples, undo) for undo in mistakes(samples, facts.action, _rates(asker, places))
    ]

    again = Again(asker, samples, places, moments, began_s + limits.seconds, each_s)
    say("asking again with one input changed")
    with pictures_remembered(asker.model):
        inputs = again.inputs()
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
        picture_statistics=_out_of_range(asker, facts, moments),
        reads_state=STATE in asker.fit.inputs.values(),
    )
    findings = tuple(_addressed(each, asker, facts) for each in judge(seen))
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


def _asked(
    asker: Asker, places: Sequence[Place], say: Progress
) -> tuple[list[Array], list[Values]]:
    """What was said at each place, and what was observed at the first of them (for the reruns)."""
    said: dict[int, Array] = {}
    moments: dict[int, Values] = {}
    order = sorted(range(len(places)), key=lambda i: (places[i].episode, places[i].row))
    for at in range(0, len(order), asker.together):
        numbers = order[at : at + asker.together]
        seen = {number: asker.moment(places[number]) for number in numbers}
        tasks = [asker.instruction(places[number]) for number in numbers]
        said.update(zip(numbers, asker.say_all(list(seen.values()), tasks), strict=True))
        moments.update((number, moment) for number, moment in seen.items() if number < MOST)
        if at % 64 == 0 and at:
            say(f"{len(said)} of {len(places)} moments")
    return [said[i] for i in range(len(places))], [moments[i] for i in range(len(moments))]


def _seconds_each(asker: Asker, places: Sequence[Place]) -> float:
    """What one moment costs, its pictures and all."""
    asked = places[: asker.together]
    began_s = time.monotonic()
    asker.say_all([asker.moment(p) for p in asked], [asker.instruction(p) for p in asked])
    return max((time.monotonic() - began_s) / len(asked), 1e-4)


def _timed(asker: Asker, moments: Sequence[Values], places: Sequence[Place]) -> None:
    """Ask some moments one at a time, where they were asked together: what a chunk costs."""
    if asker.together > 1:
        for moment, place in zip(moments[:_TIMED], places, strict=False):
            asker.say(moment, asker.instruction(place))


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


def _out_of_range(asker: Asker, facts: CheckpointFacts, moments: Sequence[Values]) -> str:
    shown = {
        key: [moment[source] for moment in moments if source in moment]
        for key, source in asker.fit.inputs.items()
        if key in facts.pictures
    }
    return out_of_range(facts.pictures, shown)


def _addressed(finding: Finding, asker: Asker, facts: CheckpointFacts) -> Finding:
    """The mend with the names of this checkpoint, of what it was trained on (whose statistics alone
    are its own) and of this recording in its commands."""
    trained = facts.training or {}
    of = dataset_here(trained) or "THE-DATASET-IT-WAS-TRAINED-ON"
    do = finding.do.replace("NAME", str(asker.recording.root)).replace("TRAINING", of)
    return msgspec.structs.replace(finding, do=do.replace("POLICY", asker.model.interface.name))


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


def _notes(again: Again, held: HeldOut) -> tuple[str, ...]:
    notes = []
    if held.held_out is not True:
        notes.append(held.words)
    if again.left_out:
        notes.append(
            f"no time was left for {len(again.left_out)} of the mistakes that need a rerun "
            "(--seconds gives more)"
        )
    return tuple(notes)
