"""What the quality gate says of an episode: findings, each with where, when and what to do.

Severities: `info` is worth knowing, `warn` may harm a policy trained on it, `bad` does. The gate
never throws an episode away; a person does.
"""

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

QUALITY_VERSION = 1

Severity = Literal["info", "warn", "bad"]
type Bools = npt.NDArray[np.bool_]

_RANK: dict[str, int] = {"bad": 0, "warn": 1, "info": 2}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `camera` or `joint` where it is one's; seconds into the episode."""

    code: str
    severity: Severity
    what: str
    do: str
    camera: str = ""
    joint: str = ""
    from_s: float | None = None
    to_s: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate said of one episode, worst first; `quality.json` in its sidecar."""

    findings: tuple[Finding, ...] = ()
    schema_version: int = QUALITY_VERSION

    @property
    def worst(self) -> str:
        """bad, warn or ok; what is only worth knowing leaves an episode ok."""
        severities = {finding.severity for finding in self.findings}
        return next((word for word in ("bad", "warn") if word in severities), "ok")

    @property
    def flagged(self) -> tuple[Finding, ...]:
        """The findings that a person should act on."""
        return tuple(each for each in self.findings if each.severity != "info")


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings by severity, then in the order in which they were made."""
    return tuple(sorted(findings, key=lambda each: _RANK[each.severity]))


def runs(mask: Bools) -> list[tuple[int, int]]:
    """The stretches of True in a mask [rows], as (first row, row after the last)."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(
        zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    )


def longest(mask: Bools) -> tuple[int, int]:
    """The longest stretch of True; (0, 0) where there is none."""
    return max(runs(mask), key=lambda run: run[1] - run[0], default=(0, 0))


def span(run: tuple[int, int], fps: int) -> str:
    """A stretch of rows in a person's words."""
    return f"from {run[0] / fps:.1f} to {run[1] / fps:.1f} s"
