"""What is evaluated: checkpoints and ways to play them, every one on the same episodes. Pure, but for the search.

A *variant* is one checkpoint played in one way; a *case* is one episode of one variant. Sweeps are products: three
checkpoints with `--n-action-steps 10,20` are six variants.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load
from sim.tasks.spec import TaskSpec

_STEP = re.compile(r"\d+")
_LAST = ("last", "final")
_NO_STEP = 1 << 62  # a folder that names no step comes after all that do
_MOST_CELLS = 400


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint played in one way; `load` None is the scripted expert. `step` is the training step."""

    name: str
    load: Load | None
    step: int | None = None


class Cell(msgspec.Struct, frozen=True):
    """A place of the grid that the task's object is put at: its column and row, and where that is (world frame)."""

    column: int
    row: int
    x_m: float
    y_m: float


class Case(msgspec.Struct, frozen=True):
    """One episode: the variant by number, the seed, the place of the object where a grid says it, and the number of
    the task where a suite has several (-1: it has one)."""

    variant: int
    seed: int
    cell: Cell | None = None
    task_id: int = -1

    @property
    def key(self) -> tuple[int, int, int, int, int]:
        """What tells this case from every other one of an evaluation."""
        place = (-1, -1) if self.cell is None else (self.cell.column, self.cell.row)
        return (self.variant, self.seed, self.task_id, *place)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def find_checkpoints(folder: Path) -> list[tuple[int | None, Path]]:
    """The checkpoints under `folder`, earliest first, each with its step (None: it names none).

    Known layouts: `checkpoints/<step>/pretrained_model` (LeRobot), `checkpoint_<step>`, `<step>` (openpi), `last`,
    `final`, and the folder itself. What is the same folder twice (LeRobot's `last` is a link) is counted once. Raises
    CheckpointError when there is none.
    """
    inside = folder / "checkpoints"
    parents = [inside] if inside.is_dir() else []
    named: list[tuple[int | None, Path]] = []
    for parent in [*parents, folder]:
        children = sorted(parent.iterdir()) if parent.is_dir() else []
        for child in children:
            named_so = child.name.startswith("checkpoint_") or child.name.isdigit()
            if child.is_dir() and (named_so or child.name in _LAST):
                digits = _STEP.search(child.name)
                named.append((int(digits.group()) if digits else None, _model_folder(child)))
    named.append((None, _model_folder(folder)))
    found: dict[Path, tuple[int | None, Path]] = {}
    for step, path in sorted(named, key=lambda each: _NO_STEP if each[0] is None else each[0]):
        if _is_checkpoint(path):
            found.setdefault(path.resolve(), (step, path))
    if not found:
        raise CheckpointError(
            f"There is no checkpoint under {folder}.",
            "Training was stopped before the first one was saved, or the folder is another one.",
            "Name the folder that holds checkpoint_…, <step> or checkpoints/<step>/pretrained_model.",
        )
    return list(found.values())


def _model_folder(folder: Path) -> Path:
    inner = folder / "pretrained_model"
    return inner if inner.is_dir() else folder


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file() or (folder / "params").is_dir()


# --- ways to play -----------------------------------------------------------------------------------------------------


def variants(
    checkpoints: Sequence[tuple[int | None, str]],
    base: Load,
    ways: Mapping[str, Sequence[Any]],
) -> list[Variant]:
    """Every checkpoint in every way. `ways` maps fields of `Load` to the values that each is tried with.

    Names hold only what differs between the variants, so that a table of them can be read.
    """
    found = []
    for step, path in checkpoints:
        for values in itertools.product(*ways.values()):
            chosen = dict(zip(ways, values, strict=True))
            words = [] if len(checkpoints) == 1 else [_name_of(step, path)]
            words += [
                f"{field.replace('_', ' ')} {value if value not in ('', None) else 'none'}"
                for field, value in chosen.items()
                if len(ways[field]) > 1
            ]
            load = msgspec.structs.replace(base, path=path, **chosen)
            name = ", ".join(words) or _name_of(step, path)
            found.append(Variant(name=name, load=load, step=step))
    return found


def _name_of(step: int | None, path: str) -> str:
    if step is not None:
        return f"step {step}"
    place = Path(path)
    return place.parent.name if place.name == "pretrained_model" else place.name


# --- episodes ---------------------------------------------------------------------------------------------------------


def parse_grid(text: str) -> tuple[int, int]:
    """`5x4` as columns and rows. Raises StateError for what is none."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text.strip())
    size = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not match or math.prod(size) > _MOST_CELLS:
        raise StateError(
            f"{text!r} is no grid.",
            f"It needs two numbers and an x between them, {_MOST_CELLS} cells at most.",
            "Say --grid 5x5.",
        )
    return size


def grid_cells(task: TaskSpec, size: tuple[int, int], half_extent_m: float) -> list[Cell]:
    """The middles of a grid of columns (along x) and rows (along y) around the middle of the task's starts."""
    columns, rows = size
    return [
        Cell(
            column,
            row,
            task.start.x_m + _at(column, columns) * half_extent_m,
            task.start.y_m + _at(row, rows) * half_extent_m,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def _at(number: int, count: int) -> float:
    """-1 … 1; 0 for a single one."""
    return 0.0 if count == 1 else 2.0 * number / (count - 1) - 1.0


def cases(count: int, first_seed: int, episodes: int, cells: Sequence[Cell] = ()) -> list[Case]:
    """The episodes of `count` variants, one variant after the other (a worker then loads each once).

    Every variant gets the same seeds. With a grid every cell gets the same ones too, as many as `episodes` allow and
    at least one, so that cells differ by their place alone.
    """
    places: Sequence[Cell | None] = cells or (None,)
    seeds = range(first_seed, first_seed + max(1, episodes // len(places)))
    return [
        Case(variant, seed, cell) for variant in range(count) for cell in places for seed in seeds
    ]
