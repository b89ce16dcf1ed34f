"""What a probe found, as data: for `--json`, for the text that a person reads, for the arming list."""

from typing import Literal

import msgspec

Outcome = Literal["pass", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `evidence` has the figures that say so; `likely` and `do` are the
    cause and the mend."""

    cause: str
    outcome: Outcome
    what: str
    evidence: str
    likely: str
    do: str


class Joint(msgspec.Struct, frozen=True, kw_only=True):
    """One joint: `mae`, `bias` (said minus done) and `spread` in the recording's units, `error` in
    spreads, `variance_ratio` said over done, `mean_offset` of said and done in standard deviations.
    `moved`: people moved it at all."""

    name: str
    moved: bool
    mae: float
    bias: float
    correlation: float
    variance_ratio: float
    spread: float
    error: float
    mean_offset: float


class Gripper(msgspec.Struct, frozen=True, kw_only=True):
    """Closings and openings within the chunks; `offset_s` is said minus done, the median."""

    name: str
    events: int
    missed: int
    invented: int
    offset_s: float | None


class InputUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much the actions change when one input is another moment's, in the policy's own spreads.

    `again` is how much they change when nothing does (a policy that draws noise).
    """

    key: str
    change: float
    again: float

    @property
    def used(self) -> bool:
        """Whether it matters at all."""
        return self.change > max(0.02, 2.0 * self.again)


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """What another instruction changes, beside what other pictures change (own spreads).

    `task` is what it was asked, `other` what it was asked instead; `trained` whether `task` is among
    the instructions of its training data (None: they are not known), `nearest` the nearest of them.
    """

    task: str
    other: str
    prompt_change: float
    picture_change: float
    trained: bool | None
    nearest: str
    instructions: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of one chunk on this machine, in ms; `device` is where."""

    p50: float
    p95: float
    preprocess: float
    infer: float
    post: float
    device: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake taken back: errors in spreads before and after, the share of samples nearer."""

    cause: str
    detail: str
    before: float
    after: float
    left: float
    share: float
    believed: bool


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One probe. `error` is the mean over moved joints in spreads (0 perfect, 1 a constant guess),
    `standing_still` what repeating the state would get. `cause` is the top one, empty when none."""

    outcome: Outcome
    cause: str
    findings: tuple[Finding, ...]
    policy: str
    kind: str
    fps: float
    units: str
    embodiment: str
    checkpoint_sha256: str
    dataset: str
    dataset_sha256: str
    held_out: bool | None
    episodes: str
    frames: int
    steps: int
    error: float
    standing_still: float | None
    displacement: float | None
    joints: tuple[Joint, ...]
    grippers: tuple[Gripper, ...]
    inputs: tuple[InputUse, ...]
    listening: Listening | None
    latency_ms: Latency
    tried: tuple[Tried, ...]
    notes: tuple[str, ...]
    seconds: float


def text(report: ProbeReport) -> str:
    """What a person reads: the cause first, then the figures."""
    lines = [_head(report)]
    for finding in report.findings:
        lines += [
            f"{finding.outcome.upper()} {finding.cause}: {finding.what}",
            f"  because {finding.evidence}",
            f"  likely: {finding.likely}",
            f"  do:     {finding.do}",
        ]
    lines += ["", f"on {report.frames} moments of {report.dataset}", f"  {report.episodes}", ""]
    lines.append(
        f"{'joint':22}{'error':>8}{'MAE':>9}{'bias':>9}{'corr.':>8}{'variance said/done':>20}"
    )
    for joint in report.joints:
        still = "" if joint.moved else "   (people did not move it)"
        lines.append(
            f"{joint.name:22}{joint.error:8.2f}{joint.mae:9.2f}{joint.bias:+9.2f}"
            f"{joint.correlation:8.2f}{joint.variance_ratio:20.2f}{still}"
        )
    lines.append(
        "error: in spreads of what people did over the next "
        f"{report.steps} steps; 0 is perfect, 1 a constant guess"
        + (f", {report.standing_still:.2f} standing still" if report.standing_still else "")
    )
    lines += [_gripper(each) for each in report.grippers]
    if report.inputs:
        lines += ["", "what it looks at (how much another moment's input changes what it says):"]
        lines += [
            f"  {each.key:34}{each.change:6.2f}  {'' if each.used else 'changes nothing'}".rstrip()
            for each in report.inputs
        ]
    if report.listening is not None:
        lines += _listening(report.listening)
    took = report.latency_ms
    lines += [
        "",
        f"a chunk takes {took.p50:.1f} ms ({took.p95:.1f} at p95) on {took.device}; "
        f"{took.infer:.1f} ms of it in the model",
        *(f"note: {note}" for note in report.notes),
    ]
    return "\n".join(lines)


def _head(report: ProbeReport) -> str:
    name = f"{report.kind} {report.policy}"
    if report.outcome == "pass":
        return f"passed: {name} does what people did (error {report.error:.2f})"
    word = "FAILED" if report.outcome == "fail" else "passed with a warning"
    return f"{word}: {name}: {report.cause}"


def _gripper(gripper: Gripper) -> str:
    if not gripper.events:
        return f"{gripper.name}: nobody opened or closed it within a chunk"
    when = (
        ""
        if gripper.offset_s is None
        else f", the others {gripper.offset_s * 1000:+.0f} ms (median)"
    )
    return (
        f"{gripper.name}: {gripper.events} closings and openings, {gripper.missed} missed{when}; "
        f"{gripper.invented} that nobody did"
    )


def _listening(found: Listening) -> list[str]:
    lines = [
        "",
        f"does it listen? {found.other!r} instead of {found.task!r} changes {found.prompt_change:.2f}, "
        f"other pictures {found.picture_change:.2f}",
    ]
    if found.trained is None:
        lines.append("  its training instructions are not known")
    elif found.trained:
        lines.append(f"  {found.task!r} is one of its {found.instructions} training instructions")
    else:
        near = f"; the nearest is {found.nearest!r}" if found.nearest else ""
        lines.append(f"  {found.task!r} is none of its {found.instructions} instructions{near}")
    return lines
