"""A policy in a gym environment: pictures and state in, chunks out, LeRobot's own numbers at the end.

`avg_sum_reward`, `avg_max_reward`, `pc_success`, `eval_s` and `eval_ep_s` mean what LeRobot's evaluation calls so. A
gym stands still while the policy thinks: it says nothing about stalls, which is what the plant is for.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import learning
import policies
from learning.evaluation.crew import crew_for
from learning.evaluation.gym_child import Flat
from learning.evaluation.gym_libero import RELAXED, task_ids
from learning.evaluation.gym_names import LIBERO_STEPS, GymSpec, spec_of
from learning.evaluation.gym_process import GymChild
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.report import About
from learning.evaluation.run import (
    Evaluation,
    checkpoints_sha,
    default_folder,
    evaluate,
    revision,
    write_report,
)
from learning.evaluation.variants import Case, Variant
from policies.border import IMAGES
from policies.checkpoint.container import open_container
from policies.checkpoint.evidence import gather
from policies.embodied import EnvironmentModel, for_environment
from policies.model import Model, ModelOptions, load_model
from policies.pulling.shelf import local_folder
from policies.server.client import is_server
from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load


@dataclass(frozen=True, slots=True)
class GymWork:
    """What the cases of one evaluation have in common."""

    spec: GymSpec
    variants: tuple[Variant, ...]
    suite: str = ""
    relaxed: bool = False
    max_steps: int = 0
    films: Path | None = None
    video: str = "none"


# --- one case ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    key: Any = None
    model: Model | None = None
    children: dict[Any, GymChild] = field(default_factory=dict)


_kept = _Kept()


def play(work: GymWork, case: Case) -> EpisodeRecord:
    """Play one case. Raises CheckpointError for a policy that does not fit, StateError for a failing simulator."""
    variant = work.variants[case.variant]
    model = None if variant.load is None else _model(work, variant.load)
    child = _child(work, case, model)
    rename = {} if variant.load is None else variant.load.rename
    low, high = child.hello["low"], child.hello["high"]
    began_s = time.monotonic()
    looks_back = 1 if model is None else model.interface.steps_seen
    seen = deque([child.reset(case.seed)] * looks_back, maxlen=looks_back)
    draw = np.random.default_rng(case.seed)
    steps = 1 if model is None or variant.load is None else _steps(model, variant.load)
    if model is not None:
        model.reseed(case.seed)  # whoever plays it, and after whatever
        model.reset()
    limit = work.max_steps
    rewards: list[float] = []
    chunk_ms: list[float] = []
    pictures = [child.picture()] if work.video != "none" else []
    success = over = False
    while not over and len(rewards) < limit:
        if model is None:
            actions = draw.uniform(low, high)[None]
        else:
            began_ns = time.perf_counter_ns()
            values = _shown(model, work.spec, seen, rename)
            actions = model.predict(values, child.hello["instruction"])
            chunk_ms.append(round((time.perf_counter_ns() - began_ns) / 1e6, 2))
            _check(model, actions, len(low))
        # Not clipped to the environment's bounds: ALOHA's joints go beyond those it declares.
        told = child.play(actions[: min(steps, limit - len(rewards))], looks_back)
        rewards += told["rewards"]
        success, over = success or told["success"], told["over"]
        seen.extend(told["seen"])
        if work.video != "none":
            pictures.append(child.picture())
    outcome = "success" if success else "timeout"
    film = _film(work, case, outcome, pictures, steps)
    return EpisodeRecord(
        variant=case.variant,
        seed=case.seed,
        task_id=case.task_id,
        outcome=outcome,
        steps=len(rewards),
        sum_reward=round(float(np.sum(rewards)), 6),
        max_reward=round(float(np.max(rewards)), 6),
        chunk_ms=tuple(chunk_ms),
        n_action_steps=steps,
        seconds=round(time.monotonic() - began_s, 3),
        film=film,
        judged_by=work.spec.name,
        told=RELAXED if work.relaxed else "",
    )


def _model(work: GymWork, load: Load) -> Model:
    key = (load.path, load.embodiment, load.tokenizer, load.backend, tuple(load.rename.items()))
    if _kept.key != key:
        # A gym's clock is its own: its rate is the policy's, and its units are whatever it says.
        options = ModelOptions(
            fps=_fps(load.path, work.spec),
            units="degrees",
            embodiment=load.embodiment or _row(work.spec),
            tokenizer=load.tokenizer,
            backend=load.backend or "torch",
        )
        _kept.model, _kept.key = for_environment(load_model(load.path, options), load.rename), key
    assert _kept.model is not None
    return _kept.model


def _fps(path: str, spec: GymSpec) -> float:
    """The checkpoint's own rate where it is known: asking for another one is refused. A step of the environment is an
    action of the chunk at any rate."""
    return (
        spec.fps if is_server(path) else gather(open_container(local_folder(path))).fps or spec.fps
    )


def _row(spec: GymSpec) -> str:
    return {"pusht": "pusht", "libero": "libero"}.get(spec.name, "aloha-sim")


def _steps(model: Model, load: Load) -> int:
    wanted = model.n_action_steps if load.n_action_steps is None else load.n_action_steps
    return max(1, min(wanted, model.chunk))


def _child(work: GymWork, case: Case, model: Model | None) -> GymChild:
    options = {
        "size": None if model is None else _picture_size(model),
        "suite": work.suite,
        "task_id": case.task_id,
        "relaxed": work.relaxed,
    }
    key = tuple(options.items())
    if key not in _kept.children:
        close()
        _kept.children[key] = GymChild(work.spec, options)
    return _kept.children[key]


def close() -> None:
    """End the environments of this process."""
    for child in _kept.children.values():
        child.close()
    _kept.children.clear()


def _picture_size(model: Model) -> tuple[int, int] | None:
    """The height and width that all its pictures have; None when it resizes them itself."""
    interface = model.interface
    shapes = {each.shape[-2:] for each in interface.inputs.values() if len(each.shape) == 3}
    if interface.views_may_miss or len(shapes) != 1:
        return None
    height, width = shapes.pop()
    return int(height), int(width)


def _shown(
    model: Model, spec: GymSpec, seen: Sequence[Flat], rename: Mapping[str, str]
) -> dict[str, npt.NDArray[Any]]:
    """What the model is asked with: the newest, or all it looks back to along a first axis."""
    named = [values_for(model, spec, each, rename) for each in seen]
    if len(named) == 1:
        return named[0]
    return {key: np.stack([each[key] for each in named]) for key in named[-1]}


def values_for(
    model: Model, spec: GymSpec, seen: Flat, rename: Mapping[str, str]
) -> dict[str, npt.NDArray[Any]]:
    """A model's inputs by its own keys; `rename` maps one to what the environment calls it.

    Raises CheckpointError naming each that the environment has not, or the model.
    """
    if isinstance(model, EnvironmentModel):
        return seen  # it knows the environment's own names, and was told what is renamed
    interface = model.interface
    named = {key if key in interface.inputs else IMAGES + key: to for key, to in rename.items()}
    if unknown := [key for key in named if key not in interface.inputs]:
        raise CheckpointError(
            f"--rename {unknown[0].removeprefix(IMAGES)}=…: {interface.name} has no such input.",
            f"Its inputs are {', '.join(interface.inputs)}.",
            "Write --rename CHECKPOINT_KEY=KEY, with a key of this environment: "
            f"{', '.join(sorted(seen))}.",
        )
    values: dict[str, npt.NDArray[Any]] = {}
    missing = []
    for key, feature in interface.inputs.items():
        source = named.get(key, key)
        found = seen.get(spec.keys.get(source, source))
        if found is None or not _as_wanted(found, feature.shape, interface.views_may_miss):
            if not (interface.views_may_miss and len(feature.shape) == 3):
                missing.append(f"{key} {feature.shape}")
            continue
        values[key] = found if found.dtype == np.uint8 else found.astype(np.float32)
    if missing:
        have = ", ".join(f"{name} {value.shape}" for name, value in seen.items())
        raise CheckpointError(
            f"{interface.name} does not fit {spec.name}: it wants {', '.join(missing)}.",
            f"It was trained in another environment; this one shows {have}.",
            f"Use a checkpoint that was trained in {spec.name}; what only has another name is mapped: "
            "--rename CHECKPOINT_KEY=KEY.",
        )
    return values


def _as_wanted(found: npt.NDArray[Any], shape: tuple[int, ...], resizes: bool) -> bool:
    """Whether what was seen has the model's shape; pictures are [3, H, W] in a config and [H, W, 3] here."""
    if len(shape) == 3:
        return resizes or found.shape == (shape[1], shape[2], shape[0])
    return found.shape == shape


def _check(model: Model, actions: npt.NDArray[np.float64], size: int) -> None:
    if actions.ndim == 2 and actions.shape[1] == size and np.isfinite(actions).all():
        return
    raise CheckpointError(
        f"{model.interface.name} gave a chunk of shape {actions.shape} with "
        f"{np.count_nonzero(~np.isfinite(actions))} values that are no numbers; {size} values an "
        "action were expected.",
        "It was trained on another robot, or training diverged.",
        "Use a checkpoint of this environment, or an earlier step of the run.",
    )


def _film(work: GymWork, case: Case, outcome: str, pictures: Sequence[Any], steps: int) -> str:
    if not pictures or work.films is None or (work.video == "failures" and outcome == "success"):
        return ""
    from sim.view.video import Mp4Writer

    work.films.mkdir(parents=True, exist_ok=True)
    part = "" if case.task_id < 0 else f"-task{case.task_id}"
    name = f"v{case.variant}{part}-seed{case.seed}-{outcome}.mp4"
    with Mp4Writer(work.films / name) as film:
        for number, picture in enumerate(pictures):
            height, width = picture.shape[0] & ~1, picture.shape[1] & ~1
            film.add(picture[:height, :width], number * steps / work.spec.fps)
    return name


# --- all of them ------------------------------------------------------------------------------------------------------


def evaluate_in_gym(args: argparse.Namespace, variants: Sequence[Variant]) -> dict[str, Any]:
    """`robotd eval --env`. Raises StateError where the environment cannot be played."""
    spec = spec_of(args.env)
    if args.source == "scripted":
        raise StateError(
            f"There is no scripted expert for {spec.name}.",
            "The experts know robotd's own tasks.",
            "Use --source random as the base line, or a --policy.",
        )
    parts = task_ids(args.task_ids, args.suite) if spec.name == "libero" else (-1,)
    suite = args.suite if spec.name == "libero" else ""
    limit = LIBERO_STEPS.get(suite, spec.max_steps)
    seeds = range(args.first_seed, args.first_seed + max(1, args.episodes // len(parts)))
    played = [
        Case(number, seed, task_id=part)
        for number in range(len(variants))
        for part in parts
        for seed in seeds
    ]
    about = About(
        source=spec.name,
        task=f"{spec.name} {suite}".strip() + (" relaxed" if args.relaxed else ""),
        robotd=revision([Path(p.__path__[0]) for p in (learning, policies)]),
        max_steps=limit,
        checkpoint_sha=checkpoints_sha(variants),
    )
    evaluation = Evaluation(about, tuple(variants), tuple(played), args.out or Path())
    folder = args.out or default_folder(spec.name, evaluation.digest)
    evaluation = Evaluation(about, tuple(variants), tuple(played), folder)
    work = GymWork(spec, tuple(variants), suite, args.relaxed, limit, folder / "films", args.video)

    def told(record: EpisodeRecord, done: int, wanted: int) -> None:
        print(
            f"{done} of {wanted}: seed {record.seed}: {record.outcome}, {record.steps} steps, "
            f"reward {record.sum_reward:g}",
            file=sys.stderr,
            flush=True,
        )

    crew = crew_for(args.workers or 1, len(played), args.ray)
    try:
        content = evaluate(evaluation, crew, play, work, told, fresh=args.fresh)
    finally:
        close()
    content |= metrics(content)
    write_report(folder, content)
    print(f"report: {folder / 'report.html'}", file=sys.stderr, flush=True)
    return content


def metrics(content: Mapping[str, Any]) -> dict[str, Any]:
    """LeRobot's numbers of the chosen variant, and of each task where there are several.

    `eval_s` is how long its episodes took one after the other, in however many goes.
    """
    own = next(one for one in content["variants"] if one["variant"] == content["chosen"])
    episodes: list[dict[str, Any]] = own["per_episode"]
    seconds = sum(episode["seconds"] for episode in episodes)
    found = _averages(episodes) | {
        "eval_s": round(seconds, 3),
        "eval_ep_s": round(seconds / len(episodes), 3),
    }
    parts = sorted({episode["task_id"] for episode in episodes if "task_id" in episode})
    per_task = [
        {"task_id": part} | _averages([each for each in episodes if each["task_id"] == part])
        for part in parts
    ]
    return found | ({"per_task": per_task} if per_task else {})


def _averages(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    count = len(episodes)
    return {
        "avg_sum_reward": sum(each["sum_reward"] for each in episodes) / count,
        "avg_max_reward": sum(each["max_reward"] for each in episodes) / count,
        "pc_success": 100.0 * sum(each["outcome"] == "success" for each in episodes) / count,
    }
