"""Findings about files: what is missing, torn, left over, or counted wrongly in info.json."""

from collections.abc import Iterable

from daemon.recorder.info import INFO, STATS, TASKS, VERSION
from dataset.checking.contents import NO_END, POINTER, Contents, place_in, place_of
from dataset.findings import Finding, error, note, warning

_KILLED = "The program that recorded was killed before it closed its files."
_COPIED = "The dataset was copied or downloaded in part."
_PULL = "Fetch the files: git lfs pull, or download with `hf download`."
_RESTORE = "Restore it from the hub or a backup."


def check_version(found: Contents) -> list[Finding]:
    """Whether info.json can be read and is of the version that LeRobot 0.4 to 0.6 read."""
    if found.version and found.version != VERSION:
        old = found.version.startswith("v2")
        return [
            error(
                "version",
                f"The dataset is of LeRobot's format {found.version}; {VERSION} is what is read.",
                "It was recorded with an older LeRobot."
                if old
                else "It was written by another version of LeRobot.",
                f"robotd dataset convert {found.root} --out NAME makes a dataset of {VERSION} of it."
                if old
                else "Read it with the LeRobot that wrote it.",
            )
        ]
    if found.info_problem:
        return [
            error(
                "info",
                f"{INFO}: {found.info_problem}.",
                _COPIED if "none" in found.info_problem else "It was damaged, or edited by hand.",
                _PULL
                if found.info_problem == POINTER
                else f"{_RESTORE} Nothing else can be judged without it; robotd dataset check --fix "
                "makes it again from the other files, as far as they say it.",
                mends=found.info_problem != POINTER,
            )
        ]
    return []


def check_files(found: Contents, wanted: range | None = None) -> list[Finding]:
    """Data, meta and video files that are missing, cannot be read, or belong to nothing."""
    result = []
    for name, problem in [
        *((each.name, each.problem) for each in found.data if each.problem),
        *found.episode_problems.items(),
    ]:
        result.append(_unreadable(name, problem, mends=problem != POINTER))
    for videos in found.videos.values():
        for video in videos.values():
            if video.problem:
                kept = f" ({video.frames} frames before that)" if video.frames else ""
                result.append(
                    _unreadable(video.name, video.problem + kept, mends=video.problem != POINTER)
                )
    if not found.data:
        result.append(error("files", "There is no data file.", _COPIED, _RESTORE))
    if not found.episodes and not found.episode_problems and any(d.rows for d in found.data):
        result.append(
            error(
                "episodes-lost",
                "meta/episodes is missing: nothing says where an episode begins and ends.",
                "LeRobot writes it every ten episodes and at the end; it was killed before that.",
                "robotd dataset check --fix makes it again from the rows and videos.",
                mends=True,
            )
        )
    return result + _missing(found, wanted) + _unreferenced(found, wanted) + _leftovers(found)


def _unreadable(name: str, problem: str, *, mends: bool) -> Finding:
    if problem == POINTER:
        return error("lfs", f"{name}: {problem}.", "The repository was cloned without lfs.", _PULL)
    likely = _KILLED if problem == NO_END else "It was damaged or cut off after it was written."
    return error(
        "torn",
        f"{name} cannot be read to its end: {problem}.",
        likely,
        f"{_RESTORE} Or keep what is whole: robotd dataset check NAME --fix.",
        mends=mends,
    )


def _missing(found: Contents, wanted: range | None) -> list[Finding]:
    """Files that an episode's row names and that are not there."""
    result = []
    there = {place for each in found.data if (place := place_of(each.name)) is not None}
    lacking: dict[str, list[int]] = {}
    for row in found.episodes:
        number = int(row["episode_index"])
        if wanted is not None and number not in wanted:
            continue
        place = place_in(row, "data")
        if place is None or place not in there:
            lacking.setdefault(f"the data file {_words(place)}", []).append(number)
        for key in found.video_keys:
            place = place_in(row, f"videos/{key}")
            if place is None or place not in found.videos[key]:
                lacking.setdefault(f"the video {_words(place)} of {key}", []).append(number)
    for what, episodes in lacking.items():
        result.append(
            error(
                "missing",
                f"{what[0].upper()}{what[1:]} is missing.",
                _COPIED,
                f"{_RESTORE} Or keep the episodes before: robotd dataset check NAME --fix.",
                episodes=tuple(episodes),
                mends=min(episodes) > 0,
            )
        )
    return result


def _unreferenced(found: Contents, wanted: range | None) -> list[Finding]:
    """Files that no episode's row names. LeRobot reads every data file, named or not."""
    if not found.episodes or found.episode_problems:
        return []
    named = {place_in(row, "data") for row in found.episodes}
    result = []
    strays = [each.name for each in found.data if each.rows and place_of(each.name) not in named]
    if strays:
        result.append(
            error(
                "stray-data",
                f"No episode refers to {_listed(strays)}, but LeRobot reads every data file.",
                _KILLED,
                "robotd dataset check --fix leaves them out, or takes their episodes in.",
                mends=True,
            )
        )
    if wanted is not None:
        return result
    unused = [
        video.name
        for key in found.video_keys
        for place, video in found.videos[key].items()
        if place not in {place_in(row, f"videos/{key}") for row in found.episodes}
    ]
    if unused:
        result.append(
            note(
                "stray-video",
                f"No episode refers to {_listed(unused)}.",
                _KILLED,
                "It only takes up space: remove it, or let --fix leave it out.",
            )
        )
    return result


def _leftovers(found: Contents) -> list[Finding]:
    pictures = [
        path
        for path in sorted(found.root.glob("images/*/episode-*"))
        if path.is_dir() and any(path.iterdir())
    ]
    folders = [path for path in sorted(found.root.glob("tmp*")) if path.is_dir()]
    names = [path.relative_to(found.root).as_posix() for path in [*pictures, *folders]]
    partial = [path.relative_to(found.root).as_posix() for path in found.root.rglob("*.incomplete")]
    result = []
    if names:
        result.append(
            note(
                "leftovers",
                f"{_listed(names)} is left of an episode that was being recorded.",
                _KILLED,
                "If the episode's rows were written, --fix makes its video of them; else they are "
                "lost (LeRobot keeps them in memory until it saves). Remove the folder.",
            )
        )
    if partial:
        result.append(
            warning(
                "download",
                f"{_listed(partial)}: a download that did not end.",
                "The connection broke.",
                "Download it again: `hf download` goes on where it stopped.",
            )
        )
    return result


def check_counts(found: Contents) -> list[Finding]:
    """info.json's totals against what there is."""
    info = found.info
    if info is None:
        return []
    rows = sum(each.rows.num_rows for each in found.data if each.rows is not None)
    counted = len(found.episodes)
    wrong = []
    if info["total_episodes"] != counted:
        wrong.append(f"{info['total_episodes']} episodes, but meta/episodes has {counted}")
    if info["total_frames"] != rows:
        wrong.append(f"{info['total_frames']} frames, but the data files have {rows} rows")
    if found.tasks and info.get("total_tasks", len(found.tasks)) != len(found.tasks):
        wrong.append(f"{info['total_tasks']} tasks, but {TASKS} has {len(found.tasks)}")
    train = (info.get("splits") or {}).get("train")
    if train is not None and len(info["splits"]) == 1 and train != f"0:{info['total_episodes']}":
        wrong.append(f"{info['total_episodes']} episodes, but its split `train` is {train}")
    if not wrong:
        return []
    return [
        error(
            "counts",
            f"{INFO} counts {'; '.join(wrong)}.",
            "The program that recorded was killed, a save failed, or the file was edited by hand.",
            "robotd dataset check --fix counts again.",
            mends=True,
        )
    ]


def check_stats_file(found: Contents) -> list[Finding]:
    """Whether stats.json is there and can be read."""
    if found.stats is not None or not found.episodes:
        return []
    return [
        error(
            "stats-file",
            f"{STATS}: {found.stats_problem}.",
            _COPIED if found.stats_problem == "there is none" else _KILLED,
            _PULL if found.stats_problem == POINTER else "--fix computes it again from the data.",
            mends=True,
        )
    ]


def _words(place: tuple[int, int] | None) -> str:
    return "(none is named)" if place is None else f"chunk-{place[0]:03d}/file-{place[1]:03d}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - 3} more" if len(every) > 3 else ""
    return ", ".join(every[:3]) + more
