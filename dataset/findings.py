"""What is wrong with a dataset, said to a person: what, where, likely why, what to do.

A finding is an `error` where LeRobot fails or silently trains on something else than was recorded,
a `warning` where a policy trained on it is likely to misbehave, a `note` where something is worth
knowing; notes leave a dataset clean.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from robotd.errors import DatasetError

Severity = Literal["error", "warning", "note"]
_ORDER = {"error": 0, "warning": 1, "note": 2}
_EPISODES_SHOWN = 12


class CannotCheckError(DatasetError):
    """There is nothing to check, or it cannot be read at all."""

    exit_code = 2


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `code` is stable, for programs; `episodes` is empty where it is the
    dataset as a whole; `mends` says whether `--fix` mends it."""

    code: str
    severity: Severity
    what: str
    likely: str
    do: str
    episodes: tuple[int, ...] = ()
    mends: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `facts` are what was looked at and what is known of the values."""

    dataset: str
    root: str
    episodes: int
    frames: int
    deep: bool
    findings: tuple[Finding, ...]
    facts: dict[str, str] = {}
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing but notes was found."""
        return all(each.severity == "note" for each in self.findings)


def error(code: str, what: str, likely: str, do: str, **more: object) -> Finding:
    """A finding that makes LeRobot fail, or train on what was not recorded."""
    return _finding("error", code, what, likely, do, **more)


def warning(code: str, what: str, likely: str, do: str, **more: object) -> Finding:
    """A finding that a policy is likely to suffer from."""
    return _finding("warning", code, what, likely, do, **more)


def note(code: str, what: str, likely: str, do: str, **more: object) -> Finding:
    """Something worth knowing that is not wrong."""
    return _finding("note", code, what, likely, do, **more)


def _finding(
    severity: Severity, code: str, what: str, likely: str, do: str, **more: object
) -> Finding:
    fields = {"severity": severity, "code": code, "what": what, "likely": likely, "do": do, **more}
    return msgspec.convert(fields, Finding, strict=False)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, otherwise in the order they were found."""
    return tuple(sorted(findings, key=lambda each: _ORDER[each.severity]))


def spoken(episodes: Sequence[int]) -> str:
    """Episode numbers for a person: "3, 5-9, 12"."""
    runs: list[list[int]] = []
    for number in sorted(set(episodes)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    more = len(words) - _EPISODES_SHOWN
    return ", ".join(words[:_EPISODES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def lines(report: Report) -> list[str]:
    """The report as it is printed."""
    size = f"{report.episodes} episodes, {report.frames} frames"
    text = [f"{report.dataset}  ({report.root})", f"  {size}, checked in {report.seconds:.1f} s"]
    text += [f"  {name}: {value}" for name, value in report.facts.items()]
    for each in report.findings:
        where = ""
        if each.episodes:
            word = "episode" if len(set(each.episodes)) == 1 else "episodes"
            where = f" ({word} {spoken(each.episodes)})"
        text += [
            "",
            f"{each.severity}: {each.what}{where}  [{each.code}]",
            f"  likely: {each.likely}",
            f"  do:     {each.do}",
        ]
        if each.mends:
            text.append("  --fix mends this in a copy.")
    errors = sum(each.severity == "error" for each in report.findings)
    warnings = sum(each.severity == "warning" for each in report.findings)
    text.append("")
    if report.clean:
        text.append("Clean.")
    else:
        mended = sum(each.mends for each in report.findings if each.severity != "note")
        text.append(f"{errors} errors, {warnings} warnings; --fix mends {mended} of them.")
    return text
