"""Findings about videos: a frame for each row, at the row's time, of the size that is declared."""

from typing import Any

import numpy as np

from dataset.checking.contents import Contents, place_in
from dataset.checking.rows import Stretches
from dataset.checking.videos import TOLERANCE_S, VideoFile
from dataset.findings import Finding, error, note, warning

_DROPPED = (
    "The encoder fell behind and dropped frames, or pictures were lost on the way to the disk: "
    "from there on every row has a later picture than it was recorded with."
)
_DELETE = "Take it out: robotd dataset delete-episode. Which frames are missing nobody can tell."


def check_frames(found: Contents, where: Stretches, wanted: range | None) -> list[Finding]:
    """Rows against frames, episode by episode and camera by camera, as LeRobot looks them up."""
    result = []
    for key in found.video_keys:
        short: dict[int, tuple[int, int]] = {}
        off: list[int] = []
        for row in found.episodes:
            episode = int(row["episode_index"])
            video = _video(found, row, key)
            places = where.get(episode, [])
            if video is None or len(places) != 1 or (wanted is not None and episode not in wanted):
                continue
            rows = places[0][1] - places[0][0]
            frames, fits = frames_of(row, key, video, rows, found.fps)
            if frames != rows:
                short[episode] = (rows, frames)
            elif not fits:
                off.append(episode)
        if short:
            some = "; ".join(f"{e}: {a} rows, {b} frames" for e, (a, b) in list(short.items())[:3])
            result.append(
                error(
                    "frames",
                    f"{key} has another number of frames than there are rows (episode {some}).",
                    _DROPPED,
                    _DELETE,
                    episodes=tuple(short),
                )
            )
        if off:
            result.append(
                error(
                    "frame-times",
                    f"Frames of {key} are more than {TOLERANCE_S * 1e3:.1f} ms from where LeRobot "
                    "looks for them; it refuses those rows.",
                    "from_timestamp in meta/episodes is not where the episode begins in its file.",
                    "--fix sets it, where the file has as many frames as its episodes have rows.",
                    episodes=tuple(off),
                    mends=_mendable(found, key, where),
                )
            )
    return result


def frames_of(
    row: dict[str, Any], key: str, video: VideoFile, rows: int, fps: int
) -> tuple[int, bool]:
    """(Frames that `row` says an episode has in `video`, whether LeRobot finds each of its rows')."""
    start, stop = row.get(f"videos/{key}/from_timestamp"), row.get(f"videos/{key}/to_timestamp")
    if start is None or stop is None or not video.frames:
        return 0, False
    half = 0.5 / fps
    inside = np.searchsorted(video.times_s, [start - half, stop - half])
    frames = int(inside[1] - inside[0])
    asked = start + np.arange(rows) / fps
    nearest = video.times_s[video.nearest(asked)]
    # float32 stamps, which LeRobot adds to `start`, are off by their own spacing.
    allowed = TOLERANCE_S + np.spacing(np.float32(rows / fps))
    return frames, bool((np.abs(nearest - asked) <= allowed).all())


def _mendable(found: Contents, key: str, where: Stretches) -> bool:
    """Whether each of the key's files has exactly as many frames as its episodes have rows."""
    rows: dict[Any, int] = {}
    for row in found.episodes:
        places = where.get(int(row["episode_index"]), [])
        place = place_in(row, f"videos/{key}")
        rows[place] = rows.get(place, 0) + sum(stop - first for first, stop in places)
    return all(
        place in found.videos[key] and found.videos[key][place].frames == count
        for place, count in rows.items()
    )


def _video(found: Contents, row: dict[str, Any], key: str) -> VideoFile | None:
    place = place_in(row, f"videos/{key}")
    return None if place is None else found.videos[key].get(place)


def check_declared(found: Contents) -> list[Finding]:
    """Size, rate and codec of the videos against what info.json says, and against each other."""
    result = []
    for key in found.video_keys:
        videos = [each for each in found.videos[key].values() if each.frames]
        if not videos:
            continue
        feature = found.features[key]
        info = feature.get("info") or {}
        sizes = {(each.width, each.height) for each in videos}
        declared = declared_size(feature)
        if sizes != {declared}:
            words = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
            result.append(
                error(
                    "resolution",
                    f"{key} is declared {declared[0]}x{declared[1]}; its videos are {words}.",
                    "The camera's settings were changed, or videos were made smaller afterwards.",
                    "--fix declares what the videos are."
                    if len(sizes) == 1
                    else "Split the dataset, or encode its videos again in one size.",
                    mends=len(sizes) == 1,
                )
            )
        result += _rates(found, key, videos, info.get("video.fps"))
        for part, name in (("codec", "video.codec"), ("pix_fmt", "video.pix_fmt")):
            values = sorted({str(getattr(each, part)) for each in videos})
            if len(values) > 1:
                result.append(
                    warning(
                        "codec-mix",
                        f"The videos of {key} are of several kinds: {', '.join(values)}.",
                        "They were recorded with different settings, or merged.",
                        "LeRobot joins videos without encoding them, which fails on these: "
                        "lerobot-edit-dataset --operation.type reencode_videos.",
                    )
                )
            elif info.get(name) not in (None, values[0]):
                result.append(
                    warning(
                        "codec",
                        f"{key} is declared {info[name]}; its videos are {values[0]}.",
                        "The videos were encoded again with another tool.",
                        "--fix declares what the videos are.",
                        mends=True,
                    )
                )
    return result


def declared_size(feature: dict[str, Any]) -> tuple[int, int]:
    """(Width, height) by the shape's names; LeRobot writes height, width, channels."""
    shape, names = list(feature["shape"]), feature.get("names") or []
    if isinstance(names, list) and "height" in names and "width" in names:
        return int(shape[names.index("width")]), int(shape[names.index("height")])
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3):
        return int(shape[2]), int(shape[1])
    return (int(shape[1]), int(shape[0])) if len(shape) >= 2 else (0, 0)


def _rates(
    found: Contents, key: str, videos: list[VideoFile], declared: float | None
) -> list[Finding]:
    result = []
    wrong = [
        each for each in videos if each.frames > 1 and abs(each.period_s * found.fps - 1) > 0.01
    ]
    if wrong:
        result.append(
            error(
                "fps",
                f"{wrong[0].name} has {1 / wrong[0].period_s:.2f} frames a second; the dataset "
                f"says {found.fps}.",
                "The dataset's fps was edited, or the videos come from another recording.",
                "Set `fps` in meta/info.json to what was recorded, or encode the videos again.",
            )
        )
    elif declared is not None and abs(declared - found.fps) > 0.01 * found.fps:
        result.append(
            warning(
                "fps-declared",
                f"{key} is declared {declared} frames a second; dataset and videos have "
                f"{found.fps}.",
                "info.json was edited, or written by another tool.",
                "--fix declares what the videos are.",
                mends=True,
            )
        )
    return result


def check_tails(found: Contents) -> list[Finding]:
    """Frames at the end of a file that no episode has."""
    spare = []
    for key in found.video_keys:
        for place, video in found.videos[key].items():
            ends = [
                float(row[f"videos/{key}/to_timestamp"])
                for row in found.episodes
                if place_in(row, f"videos/{key}") == place
                and row.get(f"videos/{key}/to_timestamp") is not None
            ]
            if not ends or not video.frames:
                continue
            more = int(np.sum(video.times_s > max(ends) - 0.5 / found.fps))
            if more:
                spare.append(f"{video.name} ({more})")
    if not spare:
        return []
    return [
        note(
            "spare-frames",
            f"There are frames at the end that no episode has: {', '.join(spare[:3])}"
            + (f" and {len(spare) - 3} more." if len(spare) > 3 else "."),
            "The program that recorded was killed while it saved the next episode.",
            "They are never read. lerobot-edit-dataset --operation.type reencode_videos removes them.",
        )
    ]
