"""One line of JSON per episode, on disk before the next one counts: a killed evaluation goes on where it was.

The first line says what is evaluated, by a digest; a file that belongs to something else is never continued. While
episodes are missing the file is `episodes.part.jsonl`, and `episodes.jsonl` when all of them are there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from learning.evaluation.variants import Case, Cell
from robotd.errors import StateError

PART = "episodes.part.jsonl"
WHOLE = "episodes.jsonl"
SCHEMA = 2


class EpisodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one episode went (policies facts G5, and what was measured beside it).

    `steps` are rows until the task had been done for its dwell time, or all. `grip_margin` is the smallest ratio of
    what the pads can hold to what the object weighs while it was carried; None: it never was. `plan_rmse_deg` is how
    far the measured body joints were from the plan they followed. `chunk_ms` are wall times from observation to
    chunk, `seconds` that of the whole episode. `judged_by` is `plant`, `person` or a gym, `said` what a person said of
    it. `n_action_steps` is how many of a chunk were played, `cameras` and `told` what the policy was shown and told.
    Of a policy that says `poses` of the fingers, `poses_failed` were out of reach. None: nobody measured it.
    """

    variant: int
    seed: int
    outcome: str
    steps: int
    cell: Cell | None = None
    task_id: int = -1
    seconds: float | None = None
    max_height_m: float | None = None
    lifted: bool | None = None
    dropped: bool | None = None
    goal_distance_m: float | None = None
    limited_ticks: int | None = None
    grip_margin: float | None = None
    slips: int | None = None
    plan_rmse_deg: float | None = None
    plans: int | None = None
    refused: int | None = None
    chunk_ms: tuple[float, ...] = ()
    verdict_ms: tuple[float, ...] = ()
    film: str = ""
    n_action_steps: int | None = None
    cameras: tuple[str, ...] = ()
    told: str = ""
    sum_reward: float | None = None
    max_reward: float | None = None
    judged_by: str = "plant"
    said: str = ""
    poses: int = 0
    poses_failed: int = 0

    @property
    def case(self) -> Case:
        """The episode that this is the record of."""
        return Case(self.variant, self.seed, self.cell, self.task_id)

    @property
    def success(self) -> bool:
        """Whether the task was done."""
        return self.outcome == "success"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: `digest` is that of everything that decides what an episode comes to."""

    schema: int = SCHEMA
    digest: str
    about: str


_HEADER = msgspec.json.Decoder(Header)
_RECORD = msgspec.json.Decoder(EpisodeRecord)


class Journal:
    """The episodes of one evaluation in `folder`. Use it as a context manager."""

    def __init__(self, folder: Path, header: Header, *, fresh: bool = False) -> None:
        """Continue the interrupted evaluation of the same digest, or begin a new one.

        `fresh` throws an interrupted one away. Raises StateError when the folder holds an interrupted evaluation of
        something else, or cannot be written.
        """
        self.folder = folder
        self.records: dict[tuple[int, ...], EpisodeRecord] = {}
        path = folder / PART
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = 0 if fresh or not path.exists() else self._read(path, header)
            self._file: BinaryIO = path.open("r+b" if kept else "wb")
            self._file.truncate(kept)
            self._file.seek(kept)
            if not kept:
                self._write(header)
        except OSError as error:
            raise StateError(
                f"The results cannot be written into {folder}: {error.strerror}.",
                "The folder is not yours, or the disk is full.",
                "Choose another folder: --out DIR",
            ) from error

    def _read(self, path: Path, header: Header) -> int:
        """Take the whole lines of an interrupted evaluation; returns how many bytes they are."""
        data = path.read_bytes()
        lines = data.split(b"\n")[:-1]  # what stands behind the last newline was cut off
        if not lines:
            return 0
        try:
            known = _HEADER.decode(lines[0])
        except msgspec.DecodeError:
            known = None
        if known is None or known.schema != SCHEMA or known.digest != header.digest:
            raise StateError(
                f"{path} is an interrupted evaluation of something else"
                f"{f': {known.about}' if known is not None else ''}.",
                "Checkpoint, task, seeds, settings or robotd itself are not those it was begun with.",
                "Give another folder with --out DIR, or throw it away: --fresh.",
            )
        size = len(lines[0]) + 1
        for line in lines[1:]:
            try:
                record = _RECORD.decode(line)
            except msgspec.DecodeError:
                break  # half a line that a power cut left; all after it is played again
            self.records[record.case.key] = record
            size += len(line) + 1
        return size

    def add(self, record: EpisodeRecord) -> None:
        """Keep one more episode; it is on disk when this returns."""
        self._write(record)
        self.records[record.case.key] = record

    def _write(self, line: Header | EpisodeRecord) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def in_order(self, cases: list[Case]) -> Iterator[EpisodeRecord]:
        """The records of `cases`, in their order, whichever order they came in."""
        for case in cases:
            record = self.records.get(case.key)
            if record is not None:
                yield record

    def complete(self) -> Path:
        """All episodes are there: from now on the file is no interrupted one. Returns where it is."""
        self._file.close()
        return (self.folder / PART).replace(self.folder / WHOLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
