"""Whether a checkpoint is what it says: every tensor and every statistic looked at, one by one.

The findings are data, each with its likely cause and what to do. An error would make the policy do
something else than it was trained to, or nothing; a warning is what a person should know before the
arm moves. Nothing is loaded onto a device; tensors are looked at one by one in the file's own pages,
which the system may take back.
"""

from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from sys import stderr
from typing import Any, Literal

import msgspec

from policies.checkpoint import lora
from policies.checkpoint.container import Container, open_container
from policies.checkpoint.convention import embodiment_of
from policies.checkpoint.evidence import gather
from policies.checkpoint.jax_names import to_torch
from policies.checkpoint.opening import looks_like
from policies.checkpoint.orbax import OrbaxParams
from policies.checkpoint.pi0_layout import EMBEDDING, LM_HEAD, canonical_name, is_ignored
from policies.checkpoint.pi0_tensors import (
    all_equal,
    as_torch,
    finite,
    listed,
    merged_reader,
    shape_faults,
    untied,
)
from policies.checkpoint.stats_check import size_problems, statistics_problems
from robotd.errors import CheckpointError

_COPY_AGAIN = (
    "Copy the checkpoint again and compare the files' sizes (robotd ckpt pull resumes and checks)."
)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong (error) or worth knowing (warning)."""

    code: str
    severity: Literal["error", "warning"]
    what: str
    likely: str
    do: str


class Report(msgspec.Struct, frozen=True):
    """The verdict on a checkpoint. `checked` says, in words, what was looked at."""

    path: str
    verdict: Literal["sound", "faulty"]
    framework: str
    generation: str
    kind: str
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 for a sound checkpoint, 2 for a faulty one."""
        return 0 if self.verdict == "sound" else 2


def verify(
    path: Path,
    *,
    lora_alpha: float | None = None,
    asset_id: str = "",
    tokenizer: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Open and check a checkpoint; what cannot be opened is a finding too.

    `progress` is called with the name of each tensor before it is read.
    """
    try:
        container = open_container(path, lora_alpha=lora_alpha, asset_id=asset_id)
    except CheckpointError as error:
        return _report(path, None, ["that it can be opened"], [_of(error, "unreadable")])
    findings = list(_identity(container))
    asked = _alpha_unsaid(container)
    if asked is not None:  # the numbers are looked at all the same
        findings.append(asked)
        sidecar = msgspec.structs.replace(container.sidecar, lora_alpha=1.0)
        container = replace(container, sidecar=sidecar)
    checked: list[str] = []
    for check in (_names, _numbers, _statistics):
        words, found = check(container, progress)
        checked.append(words)
        findings += found
    findings += _unsaid(container, tokenizer)
    return _report(container.path, container, checked, findings)


def _report(
    path: Path, container: Container | None, checked: list[str], findings: list[Finding]
) -> Report:
    faulty = any(finding.severity == "error" for finding in findings)
    return Report(
        path=str(path),
        verdict="faulty" if faulty else "sound",
        framework=container.framework if container else "",
        generation=container.generation if container else "",
        kind=container.kind if container else "",
        checked=tuple(words for words in checked if words),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != "error")),
    )


def _of(error: CheckpointError, code: str) -> Finding:
    return Finding(code, "error", error.what, error.likely, error.do)


# --- what it says it is ---------------------------------------------------------------------------


def _identity(container: Container) -> Iterator[Finding]:
    if container.said_kind and container.said_kind != container.kind:
        yield Finding(
            "kind",
            "error",
            f"config.json calls it a {container.said_kind}; its tensors are those of a "
            f"{container.kind}.",
            "config.json was copied from another checkpoint, or the policy was saved under "
            "another's name.",
            f'Put the right config.json beside the weights (its "type" is {container.kind}).',
        )
    claimed = looks_like(container.path)
    if container.is_pi0 and claimed in ("pi0", "pi05") and claimed != container.kind:
        yield Finding(
            "name",
            "warning",
            f"The folder's name says {claimed}; its tensors are those of a {container.kind}, and "
            "are run as that.",
            "It was renamed, or fine-tuned from the other one.",
            "Nothing: names decide nothing here. openpi's converter goes by the name and would "
            "break it.",
        )


# --- names and shapes -----------------------------------------------------------------------------

_Progress = Callable[[str], None]
_Checked = tuple[str, list[Finding]]


def _names(container: Container, _: _Progress) -> _Checked:
    if container.is_pi0:
        faults = shape_faults(container)
        table = {
            "missing": faults.missing,
            "extra": faults.unknown,
            "shape": faults.reshaped,
        }
        words = f"{len(container.tensors)} names and shapes, against a {container.kind}'s"
        found = [_names_finding(code, names) for code, names in table.items() if names]
        return words, found + list(_config_sizes(container))
    try:
        from policies.checkpoint.lerobot_model import make_policy, weight_faults

        with redirect_stdout(stderr):  # LeRobot prints while it makes a policy
            policy = make_policy(container.path, container.kind, "cpu")
            faulty = weight_faults(policy, {n: i.shape for n, i in container.tensors.items()})
    except CheckpointError as error:
        unmade = Finding(
            "names_unchecked",
            "warning",
            f"Names and shapes could not be compared with LeRobot's {container.kind}: {error.what}",
            error.likely,
            error.do,
        )
        return "", [unmade]
    codes = {"missing": "missing", "unknown": "extra", "of another shape": "shape"}
    words = f"{len(container.tensors)} names and shapes, against LeRobot's {container.kind}"
    return words, [_names_finding(codes[what], names) for what, names in faulty.items() if names]


def _config_sizes(container: Container) -> Iterator[Finding]:
    """Where config.json says other sizes than the tensors have: LeRobot would go by it and fail."""
    dims = container.dims
    for key, size in (("max_action_dim", dims.action), ("max_state_dim", dims.state)):
        said = container.config.get(key)
        if said is not None and size and said != size:
            yield Finding(
                "config",
                "error",
                f"config.json says {key} {said}; the tensors have {size}.",
                "config.json comes from another checkpoint, or was edited.",
                f"Put the right one beside the weights, or set {key} to {size}.",
            )


def _names_finding(code: str, names: Any) -> Finding:
    what, likely = {
        "missing": (
            "Tensors are missing",
            "The file was edited or saved in part; LeRobot would leave random numbers there.",
        ),
        "extra": (
            "Tensors are there that this policy has not",
            "They belong to another policy or release, or config.json does.",
        ),
        "shape": (
            "Tensors have another shape",
            "config.json or these tensors come from another checkpoint.",
        ),
    }[code]
    return Finding(code, "error", f"{what}: {listed(names)}.", likely, _COPY_AGAIN)


# --- numbers --------------------------------------------------------------------------------------


def _numbers(container: Container, progress: _Progress) -> _Checked:
    bad: dict[str, list[str]] = {"non_finite": [], "all_equal": []}
    findings: list[Finding] = []
    count = 0
    try:
        for name, tensor in _tensors(container, progress):
            count += 1
            if not finite(tensor):
                bad["non_finite"].append(name)
            elif all_equal(tensor) and not is_ignored(canonical_name(name)):
                bad["all_equal"].append(name)
        findings += _tied(container)
    except CheckpointError as error:
        findings.append(_of(error, "unreadable"))
    said = {
        "non_finite": (
            "Numbers that are none (NaN or infinite) in",
            "Training diverged, or the file was damaged.",
            "Choose an earlier step of the training run, or copy the checkpoint again.",
        ),
        "all_equal": (
            "One value only in",
            "They were never loaded or trained: a loader that swallows errors leaves that.",
            "Copy the checkpoint again, or save it again from the original weights.",
        ),
    }
    for code, names in bad.items():
        if names:
            what, likely, do = said[code]
            findings.append(Finding(code, "error", f"{what} {listed(names)}.", likely, do))
    return f"every number of {count} tensors", findings


def _tensors(container: Container, progress: _Progress) -> Iterator[tuple[str, Any]]:
    if not isinstance(container.store, OrbaxParams):
        for name in container.tensors:
            progress(name)
            yield name, container.read(name)
        return
    read = merged_reader(container)

    def told(name: str) -> Any:
        progress(name)
        return read(name)

    sound = _mappable(container)
    for name, array in to_torch(sound, told):
        yield name, as_torch(array)


def _mappable(container: Container) -> list[str]:
    """The arrays whose shape is such that they can be taken apart; adapters go with theirs."""
    broken = {text.split(" ", 1)[0] for text in shape_faults(container).reshaped}
    broken |= {lora.base_name(name) for name in broken if lora.is_adapter(name)}
    halves = lora.adapters(container.tensors)
    return [
        name
        for name in container.tensors
        if name not in broken and all(h in container.tensors for h in halves.get(name, ()))
    ]


def _tied(container: Container) -> list[Finding]:
    if not container.is_pi0 or isinstance(container.store, OrbaxParams):
        return []
    stored = {canonical_name(name): name for name in container.tensors}
    if EMBEDDING not in stored or LM_HEAD not in stored:
        return []
    if container.read(stored[EMBEDDING]).equal(container.read(stored[LM_HEAD])):
        return []
    return [_of(untied(container), "untied")]


# --- statistics -----------------------------------------------------------------------------------


def _statistics(container: Container, _: _Progress) -> _Checked:
    found = [*statistics_problems(container), *size_problems(container)]
    words = f"statistics in {container.stats_source}" if container.stats_source else ""
    return words, [
        Finding(
            "stats",
            "error" if problem.fatal else "warning",
            problem.what,
            problem.likely,
            problem.do,
        )
        for problem in found
    ]


# --- what nothing says ----------------------------------------------------------------------------


def _alpha_unsaid(container: Container) -> Finding | None:
    for first, _ in lora.adapters(container.tensors).values():
        try:
            rank = container.tensors[first].shape[-1] if first in container.tensors else 0
            lora.scale_of(rank, container.sidecar.lora_alpha)
        except CheckpointError as error:
            return Finding("lora_alpha", "warning", error.what, error.likely, error.do)
    return None


def _unsaid(container: Container, tokenizer: str) -> Iterator[Finding]:
    """What robotd will ask for before it runs this checkpoint, or takes for granted."""
    try:
        known = gather(container)
    except CheckpointError as error:
        yield _of(error, "dataset")
        return
    if known.fps is None:
        yield _ask("rate", "at how many steps a second it was trained", "--fps 30", '{"fps": 30}')
    if not container.is_pi0:
        return
    if container.dims.vision_width and not container.dims.vision_heads:
        yield _ask(
            "vision_heads", "how many heads its vision tower has", "", '{"vision_heads": 16}'
        )
    from policies.pi0.pipeline import refuse_what_is_not_done
    from policies.pi0.settings import doubts, horizon_of
    from policies.pi0.tokenizer import find_tokenizer

    try:
        refuse_what_is_not_done(container)
    except CheckpointError as error:
        yield _of(error, "pipeline")
    chosen = embodiment_of(container, known.units)
    try:
        horizon_of(container, chosen)
    except CheckpointError as error:
        yield Finding("horizon", "warning", error.what, error.likely, error.do)
    for doubt in doubts(container, chosen):
        yield Finding("unsaid", "warning", doubt.what, doubt.likely, doubt.do)
    try:
        find_tokenizer(container.path, tokenizer, container.dims.vocabulary)
    except CheckpointError as error:
        yield Finding("tokenizer", "warning", error.what, error.likely, error.do)


def _ask(code: str, what: str, option: str, example: str) -> Finding:
    beside = f"in robotd_ckpt.json beside the weights: {example}"
    return Finding(
        code,
        "warning",
        f"Nothing in the checkpoint says {what}.",
        "No tensor's shape tells it, and no file that came with it does.",
        f"Say it: {option}, or for good {beside}." if option else f"Say it {beside}.",
    )
