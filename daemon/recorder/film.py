"""Which video files a dataset gets that is written anew, and where in them each episode is.

A file whose episodes all stay is linked, not copied. Others are cut, and, where asked for, joined
into files of the size that info.json names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from daemon.recorder.durable import link_or_copy
from daemon.recorder.info import CHUNK_FILES, VIDEO_PATH, Info, following_place
from daemon.recorder.joining import Frames, Look, Piece, join, look_at
from daemon.recorder.source import Source
from robotd.errors import DatasetError

_MIB = 1 << 20


class Pick(NamedTuple):
    """An episode of the new dataset: of which source, which one, and its task if it gets another."""

    source: int
    episode: int
    task: str = ""


class Scene(NamedTuple):
    """Where an episode is: (chunk, file) and its time in that file, in seconds."""

    place: tuple[int, int]
    from_s: float
    to_s: float


class Reel(NamedTuple):
    """A file that was written or linked: its name in the dataset, and SHA-256 if that is known."""

    name: str
    sha256: str


type Joined = dict[tuple[Piece, ...], Path]
"""What was joined before, to be linked when the same is asked for again."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A source's file: which of the new dataset's episodes are in it, and at which frames."""

    source: Source
    name: str
    place: tuple[int, int]
    episodes: tuple[int, ...]
    frames: tuple[Frames, ...]
    times: tuple[tuple[float, float], ...]
    whole: bool  # every episode of the file stays, in its order

    @property
    def path(self) -> Path:
        return self.source.root / self.name


def write_videos(
    folder: Path,
    key: str,
    sources: Sequence[Source],
    picks: Sequence[Pick],
    info: Info,
    *,
    joined: Joined | None,
) -> tuple[list[Scene], list[Reel], tuple[int, int]]:
    """Put a camera's files under `folder`: joined ones if there is a `joined`, else one for each.

    Returns where each pick is, the files, and the last place.
    """
    fps, parts = int(info["fps"]), _parts(key, sources, picks, int(info["fps"]))
    scenes: dict[int, Scene] = {}
    reels: list[Reel] = []
    place = (0, -1)
    groups = [[part] for part in parts] if joined is None else _groups(parts, info)
    for group in groups:
        keep_name = joined is None and len(sources) == 1
        chunk_files = int(info.get("chunks_size", CHUNK_FILES))
        place = group[0].place if keep_name else following_place(place, chunk_files)
        name = VIDEO_PATH.format(video_key=key, chunk_index=place[0], file_index=place[1])
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        pieces = tuple(_piece(part) for part in group)
        if len(group) == 1 and (group[0].whole or not _cuttable(group[0], fps)):
            link_or_copy(group[0].path, target)
            reels.append(Reel(name, group[0].source.sha256.get(group[0].name, "")))
            for episode, (from_s, to_s) in zip(group[0].episodes, group[0].times, strict=True):
                scenes[episode] = Scene(place, from_s, to_s)
            continue
        before = None if joined is None else joined.get(pieces)
        if before is not None and before.exists():
            link_or_copy(before, target)
        else:
            join(pieces, target, fps)
        if joined is not None:
            joined[pieces] = target
        reels.append(Reel(name, ""))
        at = 0
        for part in group:
            for episode, (start, end) in zip(part.episodes, part.frames, strict=True):
                scenes[episode] = Scene(place, at / fps, (at + end - start) / fps)
                at += end - start
    last = max((scene.place for scene in scenes.values()), default=(0, 0))
    return [scenes[number] for number in range(len(picks))], reels, last


def _parts(key: str, sources: Sequence[Source], picks: Sequence[Pick], fps: int) -> list[_Part]:
    wanted: dict[tuple[int, int, int], list[int]] = {}
    columns = [_Columns.of(source, key) for source in sources]
    for number, pick in enumerate(picks):
        place = columns[pick.source].places[pick.episode]
        wanted.setdefault((pick.source, *place), []).append(number)
    parts = []
    for (number, chunk, file), episodes in wanted.items():
        source, of = sources[number], columns[number]
        old = [picks[each].episode for each in episodes]
        times = [(of.starts_s[each], of.ends_s[each]) for each in old]
        starts = [round(start * fps) for start, _ in times]
        frames = [
            (start, start + of.lengths[each]) for start, each in zip(starts, old, strict=True)
        ]
        whole = starts == sorted(starts) and len(set(old)) == of.counts[(chunk, file)] == len(old)
        name = source.video_name(key, chunk, file)
        parts.append(
            _Part(source, name, (chunk, file), tuple(episodes), tuple(frames), tuple(times), whole)
        )
    return parts


@dataclass(frozen=True, slots=True)
class _Columns:
    places: list[tuple[int, int]]
    starts_s: list[float]
    ends_s: list[float]
    lengths: list[int]
    counts: Mapping[tuple[int, int], int]

    @classmethod
    def of(cls, source: Source, key: str) -> "_Columns":
        def column(name: str) -> list[Any]:
            return source.column(f"videos/{key}/{name}")

        places = list(zip(column("chunk_index"), column("file_index"), strict=True))
        counts: dict[tuple[int, int], int] = {}
        for place in places:
            counts[place] = counts.get(place, 0) + 1
        starts, ends = column("from_timestamp"), column("to_timestamp")
        return cls(places, starts, ends, source.column("length"), counts)


def _groups(parts: Sequence[_Part], info: Info) -> list[list[_Part]]:
    """Files of one signature, as many together as the size allows; others alone."""
    limit_bytes = float(info.get("video_files_size_in_mb") or 200) * _MIB
    groups: list[list[_Part]] = []
    size_bytes, signature = 0.0, None
    for part in parts:
        look = _look(part, int(info["fps"]))
        joins = look.can_cut(part.frames)
        part_bytes = _piece(part).size_bytes
        together = joins and look.signature == signature and size_bytes + part_bytes < limit_bytes
        if groups and together:
            groups[-1].append(part)
            size_bytes += part_bytes
        else:
            groups.append([part])
            size_bytes, signature = part_bytes, look.signature if joins else None
    return groups


def _look(part: _Part, fps: int) -> Look:
    try:
        return look_at(part.path, fps)
    except OSError as error:
        raise DatasetError(
            f"{part.path} cannot be read as a video: {error.strerror or error}.",
            "It is missing, was cut off, or damaged.",
            "Nothing was changed. robotd dataset check NAME says which episodes are whole.",
        ) from error


def _cuttable(part: _Part, fps: int) -> bool:
    return _look(part, fps).can_cut(part.frames)


def _piece(part: _Part) -> Piece:
    return Piece(part.path, part.frames, part.path.stat().st_size if part.path.exists() else 0)
