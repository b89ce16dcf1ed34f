"""Whether the statistics a checkpoint normalises with are there, finite, and those of its robot."""

from collections.abc import Iterator

from policies.checkpoint import norms
from policies.checkpoint.container import Container
from policies.checkpoint.evidence import SIDECAR
from robotd.errors import CheckpointError


def statistics_problems(container: Container) -> Iterator[norms.StatsProblem]:
    """What is wrong with the statistics a checkpoint normalises with."""
    if container.framework != "lerobot" and not container.assets.chosen:
        yield _no_assets(container)
        return
    if container.generation in ("g2", "g3"):
        yield from _pipelines(container)
        for normaliser in container.normalisers:
            for key, kind in normaliser.types.items():
                if normaliser.undoes == (kind == "ACTION"):
                    mode = normaliser.modes.get(kind, "IDENTITY")
                    own = normaliser.stats.get(key, {})
                    file = str(container.path / normaliser.file)
                    yield from norms.problems(key, mode, own, file, visual=kind == "VISUAL")
        return
    where = str(container.path / (container.stats_source.split(" ")[0] or "model.safetensors"))
    features = {key: feature.type for key, feature in container.inputs.items()}
    features |= {key: feature.type for key, feature in container.outputs.items()}
    if container.framework != "lerobot":
        features = {norms.STATE: "STATE", norms.ACTION: "ACTION"}
    for key, kind in features.items():
        mode = container.norm.modes.get(kind, "IDENTITY")
        own = container.stats.get(key, {})
        yield from norms.problems(key, mode, own, where, visual=kind == "VISUAL")


def _pipelines(container: Container) -> Iterator[norms.StatsProblem]:
    """A pipeline that is not there, or lost the step that normalises."""
    if all(mode == "IDENTITY" for mode in container.norm.modes.values()):
        return
    for file in (norms.PREPROCESSOR, norms.POSTPROCESSOR):
        if not any(normaliser.file == file for normaliser in container.normalisers):
            there = (container.path / file).exists()
            yield norms.StatsProblem(
                f"{container.path / file} {'normalises nothing' if there else 'is not there'}.",
                "It was not copied with the weights, or it was edited: values would go through as "
                "they are.",
                "Copy the whole pretrained_model folder again.",
            )


def size_problems(container: Container) -> Iterator[norms.StatsProblem]:
    """Statistics of another robot: not as many values as the feature has."""
    for key in (norms.STATE, norms.ACTION):
        for stat, value in container.stats.get(key, {}).items():
            if stat != "count" and not size_fits(container, key, value.size):
                size = feature_size(container, key)
                yield norms.StatsProblem(
                    f"The {stat} of {key} has {value.size} values, and {key} {size}.",
                    "The statistics are those of another robot or another dataset.",
                    f"Put in those of its training: robotd ckpt stats {container.path} --from "
                    "DATASET --out COPY.",
                )
                break


def size_fits(container: Container, key: str, size: int) -> bool:
    """Whether statistics of so many values can be a feature's.

    openpi fills everything up to the model's width. So does a LeRobot Pi0 with its state: fine-tuned
    from a base it keeps the base's feature of that width in config.json (`make_policy` renews the
    outputs alone), and the statistics are those of its dataset.
    """
    wanted = feature_size(container, key)
    if not wanted:
        return True
    filled = container.framework != "lerobot"
    if container.is_pi0 and key == norms.STATE:
        filled = filled or wanted == (container.dims.state or container.dims.action)
    return size <= wanted if filled else size == wanted


def feature_size(container: Container, key: str) -> int:
    """How many values a state or action has: by its feature, else by the tensors; 0: unknown."""
    feature = {**container.inputs, **container.outputs}.get(key)
    if feature is not None:
        return feature.shape[0] if feature.shape else 0
    if not container.is_pi0:
        return 0
    return (
        container.dims.action
        if key == norms.ACTION
        else container.dims.state or container.dims.action
    )


def _no_assets(container: Container) -> norms.StatsProblem:
    listed_ids = ", ".join(container.assets.found)
    asked = container.sidecar.asset_id
    if container.assets.found and asked:
        return norms.StatsProblem(
            f"{container.path / norms.ASSETS} has no statistics called {asked}; there are: "
            f"{listed_ids}.",
            f"The name was mistyped (--asset, or asset_id in {SIDECAR}), or is another checkpoint's.",
            f"Say one that is there: --asset {container.assets.found[0]}, or for good in {SIDECAR}: "
            f'{{"asset_id": "{container.assets.found[0]}"}}.',
        )
    if container.assets.found:
        return norms.StatsProblem(
            f"{container.path / norms.ASSETS} has the statistics of several robots: {listed_ids}.",
            "A base model carries those of everything it was trained on.",
            "Say which is this robot's: --asset ID, or for good in robotd_ckpt.json: "
            '{"asset_id": "…"}.',
        )
    beside = container.path.parent / norms.ASSETS
    there = next(iter(sorted(beside.rglob(norms.NORM_STATS))), None) if beside.is_dir() else None
    return norms.StatsProblem(
        f"{container.path} has no {norms.ASSETS}/*/{norms.NORM_STATS}.",
        "openpi's converter copies the wrong folder's assets (openpi #638), or they were not "
        "fetched with the weights.",
        f"robotd ckpt stats {container.path} --from "
        f"{there or 'norm_stats.json (or the training dataset)'} --out COPY.",
    )


def require_statistics(container: Container) -> None:
    """Refuse a checkpoint whose statistics would make nonsense. Raises CheckpointError."""
    for problem in (*statistics_problems(container), *size_problems(container)):
        if problem.fatal:
            raise CheckpointError(problem.what, problem.likely, problem.do)
