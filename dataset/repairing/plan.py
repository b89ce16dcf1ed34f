"""Which episodes of a broken dataset can be saved, and where each one's rows and frames are.

An episode that meta/episodes lists is saved if its rows and frames are there: its row says which
frames are its own. One that is not listed (LeRobot lists them ten at a time, and the rest when it
ends) has to prove it: LeRobot appends episode after episode to a camera's video, so the episodes'
lengths, one after the other, must end exactly where the file ends, and each must begin with a key
frame. Where they do not, a frame was lost somewhere, nobody can tell where, and nothing from there
on is saved: rows with the pictures of other rows are worse than none. An episode whose rows were
written and whose pictures were not yet in a video has them beside it: encoded in a file of its own
(`tmp…/<camera>_<episode>.mp4`), or one by one (`images/<camera>/episode-…`).
"""

import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.recorder.info import CHUNK_FILES, following_place
from dataset.checking.contents import Contents, Place, column, place_in
from dataset.checking.frames import frames_of
from dataset.checking.rows import Stretches, stretches
from dataset.checking.videos import VideoFile, scan_video

PICTURE = "frame-{:06d}.png"
_PNG_END = b"IEND\xaeB`\x82"
_HALF_FRAME = 0.5


@dataclass(frozen=True, slots=True)
class Frames:
    """Where an episode's frames are in a camera's videos: from frame `first` of `place` on.

    With `source`, `place` is to be made: of that file, or of the pictures in that folder.
    """

    place: Place
    first: int
    count: int
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """An episode to keep: its number so far, its rows among all rows, its frames by camera, and its
    row of meta/episodes where there is one."""

    episode: int
    first: int
    stop: int
    frames: dict[str, Frames]
    row: dict[str, Any] | None = None

    @property
    def length(self) -> int:
        """How many rows it has."""
        return self.stop - self.first


@dataclass(slots=True)
class Plan:
    """What a repair keeps, in order, and what it cannot: (episode, why)."""

    saved: list[Saved] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)


def make_plan(found: Contents) -> Plan:
    """What of `found` can be saved. Needs its info."""
    rows = found.rows()
    where = stretches(rows)
    listed = {int(row["episode_index"]): row for row in reversed(found.episodes)}
    frame_index = column(rows, "frame_index")
    plan = Plan()
    chain = _Chain(found)
    for episode in sorted(set(where) | set(listed) | set(_counted(found, where, listed))):
        row = listed.get(episode)
        place = _stretch(where.get(episode, []), row)
        if place is None:
            plan.lost.append((episode, "its rows are not on the disk"))
            chain.broken = chain.broken or row is None
            continue
        first, stop = place
        if row is None and not np.array_equal(frame_index[first:stop], np.arange(stop - first)):
            plan.lost.append((episode, "its rows are not whole"))
            chain.broken = True
            continue
        frames, why = chain.frames(episode, stop - first, row)
        if why:
            plan.lost.append((episode, why))
        else:
            plan.saved.append(Saved(episode, first, stop, frames, row))
    return _proven(found, plan)


def _counted(found: Contents, where: Stretches, listed: dict[int, Any]) -> list[int]:
    """Episodes that only info.json knows of: what is lost of them is to be said."""
    known = max([-1, *where, *listed])
    total = int((found.info or {}).get("total_episodes", 0))
    return [] if listed and not found.episode_problems else list(range(known + 1, total))


def _stretch(places: list[tuple[int, int]], row: dict[str, Any] | None) -> tuple[int, int] | None:
    """The rows of an episode. Of several stretches, what a failed save left comes first, so it is
    the last one, of the listed length where one is listed."""
    if row is not None and len(places) > 1:
        places = [each for each in places if each[1] - each[0] == int(row["length"])]
    return places[-1] if places else None


class _Chain:
    """Walks through each camera's files, episode by episode."""

    def __init__(self, found: Contents) -> None:
        self._found = found
        self._at = {key: (min(found.videos[key], default=(0, 0)), 0) for key in found.video_keys}
        self.broken = False

    def frames(
        self, episode: int, rows: int, row: dict[str, Any] | None
    ) -> tuple[dict[str, Frames], str]:
        """The episode's frames by camera, or why they cannot be had. An episode that is not listed
        can only be found behind one that was."""
        if row is None and self.broken:
            return {}, "an episode before it could not be saved, so its pictures cannot be found"
        result = {}
        for key in self._found.video_keys:
            one, why = self._listed(key, row, rows) if row else self._next(key, rows)
            if one is None and row is None:
                one = self._loose(key, episode, rows)
            if one is None:
                self.broken = self.broken or row is None
                return {}, why
            result[key] = one
        for key, one in result.items():
            self._at[key] = (one.place, one.first + one.count)
        return result, ""

    def _listed(self, key: str, row: dict[str, Any], rows: int) -> tuple[Frames | None, str]:
        place = place_in(row, f"videos/{key}")
        video = None if place is None else self._found.videos[key].get(place)
        start = row.get(f"videos/{key}/from_timestamp")
        if place is None or video is None or start is None or not video.frames:
            return None, f"its video of {key} is missing or cannot be read"
        count, fits = frames_of(row, key, video, rows, self._found.fps)
        first = int(video.nearest(np.array([float(start)]))[0])
        if video.problem and not (fits and count == rows and video.in_order):
            return None, f"its video of {key} is torn"
        if count == rows and not fits:
            # The file is whole, but from_timestamp is not where the frames are: count them instead.
            before = self._at[key]
            first = before[1] if before[0] == place else 0
        return Frames(place, first, count), ""

    def _next(self, key: str, rows: int) -> tuple[Frames | None, str]:
        videos = self._found.videos[key]
        place, first = self._at[key]
        if place in videos and videos[place].frames == first and not videos[place].problem:
            later = [each for each in sorted(videos) if each > place]
            place, first = (later[0], 0) if later else (place, first)
        if place not in videos or videos[place].frames - first < rows:
            return None, f"its video of {key} is missing, torn, or ends inside it"
        if videos[place].problem and not videos[place].in_order:
            return None, f"its video of {key} is torn"
        if not _is_key(videos[place], first):
            return None, f"nothing proves which frames of {key} are its own"
        return Frames(place, first, rows), ""

    def _loose(self, key: str, episode: int, rows: int) -> Frames | None:
        """The frames of an episode that was being saved, if all of them are beside the videos."""
        root = self._found.root
        files = sorted(root.glob(f"tmp*/{glob.escape(key)}_{episode:03d}.mp4"))
        whole = [path for path in files if _is_whole(path, rows)]
        folder = root / f"images/{key}/episode-{episode:06d}"
        source = whole[0] if whole else folder
        if not whole and not all(_is_picture(folder / PICTURE.format(n)) for n in range(rows)):
            return None
        chunk_files = int((self._found.info or {}).get("chunks_size") or CHUNK_FILES)
        places = [*self._found.videos[key], self._at[key][0]] if self._any(key) else []
        place = following_place(max(places), chunk_files) if places else (0, 0)
        return Frames(place, 0, rows, source.relative_to(root))

    def _any(self, key: str) -> bool:
        """Whether the camera has a video, or is to have one."""
        return bool(self._found.videos[key]) or self._at[key] != ((0, 0), 0)


def _is_whole(path: Path, frames: int) -> bool:
    one = scan_video(path, path.name)
    return not one.problem and one.frames == frames


def _is_picture(path: Path) -> bool:
    """Whether a PNG is there to its end."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_PNG_END), os.SEEK_END)
            return file.read() == _PNG_END
    except OSError:  # missing, or shorter than that
        return False


def _is_key(video: VideoFile, frame: int) -> bool:
    time_s = video.times_s[frame]
    return bool(np.any(np.abs(video.keys_s - time_s) < _HALF_FRAME * max(video.period_s, 1e-3)))


def _proven(found: Contents, plan: Plan) -> Plan:
    """Take back episodes that are not listed, of files in which frames and rows do not add up."""
    doubtful: list[int] = []
    lengths = {e: places[-1][1] - places[-1][0] for e, places in stretches(found.rows()).items()}
    for key in found.video_keys:
        for place, video in found.videos[key].items():
            here = [each for each in plan.saved if each.frames[key].place == place]
            unlisted = [each.episode for each in here if each.row is None]
            if not unlisted or video.problem:
                continue
            end = max(each.frames[key].first + each.frames[key].count for each in here)
            behind = [lengths[each] for each in sorted(lengths) if each > max(unlisted)]
            if not _adds_up(video, end, behind):
                doubtful.append(min(unlisted))
    if not doubtful:
        return plan
    first = min(doubtful)
    why = "its camera's video has not the frames that its file's episodes have rows: one was lost"
    kept = [each for each in plan.saved if each.row is not None or each.episode < first]
    gone = [(each.episode, why) for each in plan.saved if each not in kept]
    return Plan(kept, sorted([*plan.lost, *gone]))


def _adds_up(video: VideoFile, end: int, behind: list[int]) -> bool:
    """Whether what a file holds behind its last saved frame is whole episodes, as far as is known.

    A writer that was killed may have appended an episode to one camera's video and not to the
    next's, or have lost its rows; a frame that was dropped leaves another remainder.
    """
    more = video.frames - end
    if more == 0:
        return True
    if behind:
        return more in np.cumsum(behind).tolist() and _is_key(video, end)
    return _is_key(video, end)
