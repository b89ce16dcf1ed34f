"""The dataset card, `README.md`: what the dataset's own files say of it and nothing else. Pure.

The same dataset gives the same card to the byte, so that it is sent only when a fact changed. A
fact that the files do not hold is not in it; a licence is the person's to state.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from daemon.recorder.info import Info

CARD = "README.md"
_TASKS_SHOWN = 20
_UNITS = {
    "degrees": "degrees (five joints), 0 closed to 100 open (gripper)",
    "range_m100_100": "−100 to 100 of each joint's calibrated range, 0 to 100 (gripper)",
}


def make_card(
    name: str,
    info: Info,
    tasks: tuple[str, ...],
    pages: tuple[Mapping[str, Any], ...],
    licence: str,
    numbers: str = "",
) -> bytes:
    """The card of the dataset called `name`. `pages` are the sidecar's, one an episode of ours;
    `numbers` what a conversion noted of state and action, which then are no longer as recorded."""
    head: dict[str, Any] = {"license": licence} if licence else {}
    head |= {
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "robotd"],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    lines = [f"# {name}", "", _summary(info), "", *_facts(info, pages, numbers), ""]
    lines += ["## Tasks", "", *(f"- {_plain(task)}" for task in tasks[:_TASKS_SHOWN])]
    if len(tasks) > _TASKS_SHOWN:
        lines.append(f"- … and {len(tasks) - _TASKS_SHOWN} more (meta/tasks.parquet)")
    lines += ["", *_cameras(info, pages), "## Use", "", "```python"]
    lines.append("from lerobot.datasets.lerobot_dataset import LeRobotDataset")
    lines += [f'dataset = LeRobotDataset("{name}")', "```"]
    if pages:
        lines += [
            "",
            "`robotd/` holds, beside what LeRobot reads: per frame when each picture was taken, "
            "what was asked of the joints and what was sent, and what limited it; per episode its "
            "label, its cameras and the hash of the calibration.",
        ]
    return f"---\n{front}---\n\n".encode() + ("\n".join(lines) + "\n").encode()


def _summary(info: Info) -> str:
    seconds = info["total_frames"] / info["fps"]
    robot = info.get("robot_type") or "an unnamed robot"
    return (
        f"{info['total_episodes']} episodes of {robot}, {info['total_frames']} frames at "
        f"{info['fps']} fps ({seconds / 60:.1f} minutes), in LeRobot's format "
        f"{info['codebase_version']}."
    )


def _facts(info: Info, pages: tuple[Mapping[str, Any], ...], numbers: str) -> list[str]:
    rows = [
        ("Robot", info.get("robot_type") or "not stated"),
        ("Frames a second", str(info["fps"])),
        ("State", _names(info, "observation.state")),
        ("Action", _names(info, "action")),
    ]
    units = sorted({str(page["spec"].get("units", "")) for page in pages} - {""})
    if numbers:
        rows.append(("Converted to", numbers))
    elif units:
        rows.append(("Units", "; ".join(_UNITS.get(each, each) for each in units)))
    if pages:
        rows.append(("Recorded with", f"robotd ({len(pages)} of {info['total_episodes']})"))
        policies = {str(page["spec"].get("policy_sha256", "")) for page in pages} - {""}
        if policies:
            rows.append(("Driven by a policy", f"in part, {len(policies)} checkpoint(s)"))
        rows += _judged(pages)
    return ["| | |", "|---|---|", *(f"| {name} | {_plain(value)} |" for name, value in rows)]


def _judged(pages: tuple[Mapping[str, Any], ...]) -> list[tuple[str, str]]:
    said = Counter((page.get("label") or {}).get("success") for page in pages)
    rows = []
    if said[True] or said[False]:
        words = f"{said[True]} success, {said[False]} failure, {said[None]} not judged"
        rows.append(("Labels", words))
    interrupted = sum(bool(page.get("reason")) for page in pages)
    if interrupted:
        rows.append(("Interrupted and kept", str(interrupted)))
    findings = Counter(code for page in pages for code in page["findings"])
    if findings:
        words = ", ".join(f"{code} in {count}" for code, count in sorted(findings.items()))
        rows.append(("Flagged by the quality gate (episodes)", words))
    return rows


def _cameras(info: Info, pages: tuple[Mapping[str, Any], ...]) -> list[str]:
    cameras = {
        name: feature
        for name, feature in info["features"].items()
        if feature["dtype"] in ("video", "image")
    }
    if not cameras:
        return []
    known: dict[str, dict[str, set[str]]] = {}
    for page in pages:
        for camera in page["spec"].get("cameras", ()):
            at = known.setdefault(f"observation.images.{camera['name']}", {})
            for key, value in camera.get("identity", {}).items():
                at.setdefault(key, set()).add(str(value))
    lines = ["## Cameras", "", "| | size | codec | field of view | rotation |"]
    lines.append("|---|---|---|---|---|")
    for name, feature in cameras.items():
        height, width = feature["shape"][0], feature["shape"][1]
        codec = (feature.get("info") or {}).get("video.codec", "not stated")
        of = known.get(name, {})
        fov = _said(of, "fovy_deg", "{}° vertical") or _said(of, "fov_deg", "{}°")
        turned = _said(of, "rotation_deg", "{}°")
        words = (f"{width}×{height}", codec, fov or "not stated", turned or "not stated")
        lines.append(f"| {name} | " + " | ".join(map(_plain, words)) + " |")
    return [*lines, ""]


def _said(known: Mapping[str, set[str]], key: str, words: str) -> str:
    return ", ".join(words.format(each) for each in sorted(known.get(key, ())))


def _names(info: Info, feature: str) -> str:
    names = info["features"].get(feature, {}).get("names") or []
    if isinstance(names, dict):
        names = next(iter(names.values()), [])
    return ", ".join(map(str, names)) or "not stated"


def _plain(text: object) -> str:
    """Text as text: no table, no markup, no line of its own."""
    words = " ".join(str(text).split())
    return "".join(f"\\{each}" if each in "\\|<>[]`*#" else each for each in words)
