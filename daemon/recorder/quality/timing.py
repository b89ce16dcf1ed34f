"""The quality gate on time: rows that are missing, rates that are not the dataset's, old readings.

LeRobot's timestamps are row / fps whatever happened, so nothing of this can be seen in the dataset.
"""

import numpy as np

from daemon.recorder.quality import limits
from daemon.recorder.quality.finding import Finding, longest
from daemon.recorder.quality.rows import EpisodeRows, Floats
from robotd.clock import NS_PER_MS, NS_PER_S

_BUSY = "Close other programs, record smaller pictures, or look: robotd health"


def timing_findings(rows: EpisodeRows) -> list[Finding]:
    """Everything that the stamps of an episode tell."""
    found = _short(rows)
    if len(rows.deadline_ns) < 3 or not rows.deadline_ns.any():
        return found
    found += _gaps(rows)
    found += _rate(rows)
    found += _missed_ticks(rows)
    found += _old_reads(rows)
    for camera in rows.capture_ns:
        found += _picture_times(rows, camera)
    return found


def _short(rows: EpisodeRows) -> list[Finding]:
    seconds = len(rows.state) / rows.fps
    if seconds >= limits.SHORT_S:
        return []
    return [
        Finding(
            code="short",
            severity="warn",
            what=f"The episode is {seconds:.1f} s long.",
            do="Undo it (u) if a key was pressed by mistake",
            from_s=0.0,
            to_s=seconds,
        )
    ]


def _gaps(rows: EpisodeRows) -> list[Finding]:
    period_ns = NS_PER_S / rows.fps
    steps = np.diff(rows.deadline_ns)
    torn = np.flatnonzero(steps > limits.GAP_ROWS * period_ns)
    if not len(torn):
        return []
    lost = int(np.round(steps[torn] / period_ns - 1).sum())
    worst = int(torn[steps[torn].argmax()])
    gap_s = float(steps[worst] / NS_PER_S)
    return [
        Finding(
            code="gap",
            severity="bad" if gap_s > limits.BAD_GAP_S else "warn",
            what=f"{lost} rows are missing; the longest gap is {gap_s:.2f} s long.",
            do=f"Redo the episode; the machine was too busy to record. {_BUSY}",
            from_s=int(torn[0]) / rows.fps,
            to_s=int(torn[-1] + 1) / rows.fps,
        )
    ]


def _rate(rows: EpisodeRows) -> list[Finding]:
    hertz = NS_PER_S / float(np.median(np.diff(rows.deadline_ns)))
    if abs(hertz / rows.fps - 1) <= limits.RATE_ERROR:
        return []
    return [
        Finding(
            code="rate",
            severity="bad",
            what=f"The rows came at {hertz:.1f} a second; the dataset says {rows.fps}.",
            do="Set control.tick_hz to a multiple of recording.fps, and redo the episode",
        )
    ]


def _missed_ticks(rows: EpisodeRows) -> list[Finding]:
    ticks = int(rows.tick_index[-1] - rows.tick_index[0])
    missed = int(rows.missed_ticks[-1] - rows.missed_ticks[0])
    if ticks <= 0 or missed <= limits.MISSED_TICKS * ticks:
        return []
    return [
        Finding(
            code="missed_ticks",
            severity="warn",
            what=f"Control skipped {missed} of {ticks} ticks: goals came late and uneven.",
            do=_BUSY,
        )
    ]


def _old_reads(rows: EpisodeRows) -> list[Finding]:
    old = rows.read_age_ms > limits.READ_AGE_MS
    if old.mean() <= limits.READ_AGE_SHARE:
        return []
    first, last = longest(old)
    return [
        Finding(
            code="stale_reads",
            severity="warn",
            what=f"Joint positions were up to {rows.read_age_ms.max():.0f} ms old in "
            f"{int(old.sum())} rows.",
            do="A servo's replies get lost: check cables and plugs. robotd logs control",
            from_s=first / rows.fps,
            to_s=last / rows.fps,
        )
    ]


def _picture_times(rows: EpisodeRows, camera: str) -> list[Finding]:
    stamps = rows.capture_ns[camera]
    known = stamps >= 0
    if known.sum() < 3:
        return []
    found = []
    backwards = np.flatnonzero(np.diff(stamps[known]) < 0)
    if len(backwards):
        at_s = float(np.flatnonzero(known)[backwards[0] + 1] / rows.fps)
        found.append(
            Finding(
                code="picture_order",
                severity="bad",
                camera=camera,
                what=f"{camera}: pictures are not in the order in which they were taken.",
                do=f"Redo the episode; replug the camera. robotd logs camera-{camera}",
                from_s=at_s,
            )
        )
    age_ms = (rows.deadline_ns - stamps)[known] / NS_PER_MS
    freshest_ms = _freshest(age_ms)
    if freshest_ms > limits.PICTURE_AGE_MS:
        found.append(
            Finding(
                code="picture_late",
                severity="warn",
                camera=camera,
                what=f"{camera}: even its freshest pictures are {freshest_ms:.0f} ms older than the "
                "joints beside them.",
                do=f"A lower size or another USB socket for the camera, or less load. {_BUSY}",
            )
        )
    part = max(1, len(age_ms) // 5)
    drift_ms = _freshest(age_ms[-part:]) - _freshest(age_ms[:part])
    if abs(drift_ms) > limits.PICTURE_DRIFT_MS:
        word = "older" if drift_ms > 0 else "younger"
        found.append(
            Finding(
                code="picture_drift",
                severity="bad",
                camera=camera,
                what=f"{camera}: pictures became {abs(drift_ms):.0f} ms {word} during the episode.",
                do=f"The camera's clock or its queue runs away: replug it. robotd logs camera-{camera}",
            )
        )
    return found


def _freshest(age_ms: Floats) -> float:
    """How old pictures are where nothing held them up: those that were missed are another finding."""
    return float(np.percentile(age_ms, limits.FRESHEST_PERCENT))
