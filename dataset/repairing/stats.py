"""Statistics for a mended dataset: those that are sound as they are, the others computed again."""

import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.stats import FeatureStats, Stats
from dataset.checking.contents import SCALARS, Contents, Place
from dataset.checking.pictures import Span, is_depth, picture_stats, video_stats
from dataset.checking.stats import (
    disagreement,
    episode_vectors,
    form_problem,
    picture_problem,
    stats_in,
)
from dataset.repairing.plan import Plan


def stats_of(found: Contents, plan: Plan, rows: dict[int, pa.Table]) -> tuple[list[Stats], str]:
    """Statistics of every saved episode, in order; and in words, which of them were computed.

    LeRobot's counters are numbered anew, so theirs always are. Pictures are decoded only of the
    cameras and episodes whose statistics are missing or cannot be.
    """
    result: list[Stats] = []
    vectors, pictures = 0, 0
    wanted: dict[str, dict[Place, list[Span]]] = {key: {} for key in found.video_keys}
    for number, each in enumerate(plan.saved):
        old = stats_in(each.row or {})
        new: Stats = {key: value for key, value in old.items() if key not in SCALARS}
        truth = episode_vectors(found, rows[number], 0, each.length)
        for key, value in truth.items():
            is_sound = (
                key in new
                and not form_problem(new[key])
                and not disagreement(new[key], value, each.length)
            )
            if not is_sound:
                vectors += key not in SCALARS and key in found.vector_keys
                new[key] = value
        for key in found.video_keys:
            if (key not in new or picture_problem(new[key])) and not is_depth(found.features[key]):
                frames = each.frames[key]
                span = Span(number, frames.first, frames.count)
                wanted[key].setdefault(frames.place, []).append(span)
        result.append(new)
    for key, by_place in wanted.items():
        for place, spans in by_place.items():
            path = found.root / found.videos[key][place].name
            for number, stats in video_stats(path, spans)[0].items():
                result[number][key] = stats
                pictures += 1
    pictures += _embedded(found, plan, result)
    words = [
        f"of {vectors} columns" if vectors else "",
        f"of {pictures} cameras' pictures" if pictures else "",
    ]
    return result, " and ".join(each for each in words if each)


def _embedded(found: Contents, plan: Plan, result: list[Stats]) -> int:
    """Statistics of pictures that are in the data files, which have been written by now."""
    keys = [key for key, each in found.features.items() if each["dtype"] == "image"]
    lacking = {
        number
        for number, stats in enumerate(result)
        if any(key not in stats or picture_problem(stats[key]) for key in keys)
    }
    if not keys or not lacking:
        return 0
    first = 0
    bounds = []
    for each in plan.saved:
        bounds.append((first, first + each.length))
        first += each.length
    paths = sorted((found.root / "data").glob("*/*.parquet"))
    table = pq.ParquetDataset(paths).read(columns=keys)
    count = 0
    for number in sorted(lacking):
        start, stop = bounds[number]
        for key in keys:
            stats: FeatureStats = picture_stats(table[key].slice(start, stop - start))
            result[number][key] = stats
            count += 1
    return count
