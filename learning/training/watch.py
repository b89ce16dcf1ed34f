"""What the trainer's own lines say: how far it is, how it learns, and what it waits for. Pure.

LeRobot prints a progress bar (its counts are exact) and, every `log_freq` steps, averages: the loss,
the time to get a batch and prepare it (`data_s`) and the time to learn from it (`updt_s`). Its step number there is
rounded ("2K"), so windows are counted instead.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

REPORT = "training.json"

_BAR = re.compile(r"Training:.*?\|\s*(\d+)/(\d+)\s")
_PAIR = re.compile(r"\b([a-z_]+(?:/s)?):\s*(-?(?:\d[\d.]*(?:e[+-]?\d+)?|nan|inf))", re.IGNORECASE)
_SAVED = "Checkpoint policy after step"

_WAITING_SHARE = 0.2
"""The share of a step spent on data from which more workers may be worth their memory."""


@dataclass(frozen=True, slots=True)
class Window:
    """The averages of `log_freq` steps that ended with `step`. Times in seconds a step."""

    step: int
    loss: float
    data_s: float
    update_s: float
    gpu_gb: float | None = None


@dataclass(slots=True)
class TrainLog:
    """Everything that was heard of one run. `first_step` is where a resumed run began."""

    total_steps: int
    log_every: int
    first_step: int = 0
    step: int = 0
    windows: list[Window] = field(default_factory=list)
    saves: int = 0

    def hear(self, line: str) -> str:
        """Take one line; returns what it was: bar, window, saved or "" for any other."""
        bar = None
        for bar in _BAR.finditer(line):
            self.step = self.first_step + int(bar.group(1))
        if _SAVED in line:
            self.saves += 1
            return "saved"
        if "loss:" in line and "updt_s:" in line:
            return self._window(line)
        return "bar" if bar is not None else ""

    def _window(self, line: str) -> str:
        said = {name: float(value) for name, value in _PAIR.findall(line)}
        if not {"loss", "updt_s", "data_s"} <= set(said):
            return ""
        below = self.first_step - self.first_step % self.log_every
        step = below + self.log_every * (len(self.windows) + 1)
        self.windows.append(
            Window(step, said["loss"], said["data_s"], said["updt_s"], said.get("mem_gb"))
        )
        self.step = max(self.step, step)
        return "window"

    @property
    def diverged(self) -> bool:
        """Whether the newest loss is no number: nothing that follows can be one."""
        return bool(self.windows) and not math.isfinite(self.windows[-1].loss)


def earlier_windows(report: bytes, first_step: int) -> list[Window]:
    """What a run's earlier report (`training.json`) holds up to `first_step`, from where it goes on.

    What was learnt after that checkpoint was lost and is done again. Empty for what is no report: a
    run that was killed before its first checkpoint has none.
    """
    try:
        noted = msgspec.json.decode(report, type=_Noted).windows
        known = [msgspec.convert(each, Window) for each in noted if each.get("loss") is not None]
    except msgspec.DecodeError:
        return []
    return [each for each in known if each.step <= first_step]


class _Noted(msgspec.Struct, frozen=True):
    windows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What a step waits for, from the trainer's own averages.

    `data_s` is the wait for a loaded batch and, in the trainer's main process, its preparation:
    pictures to floats, normalising, onto the device. The log does not tell them apart, so `helps`
    is a bound: from that many workers on no batch is waited for, and what is left no worker takes.
    `cores` bounds what this machine can do about it.
    """

    waiting_share: float
    data_s: float
    update_s: float
    workers: int
    helps: int
    cores: int

    @property
    def data_bound(self) -> bool:
        """Whether the model waits for its data."""
        return self.waiting_share >= _WAITING_SHARE

    @property
    def words(self) -> str:
        """For a person."""
        if not self.data_bound:
            return (
                f"compute-bound: {100 * self.waiting_share:.0f} % of a step is spent getting and "
                f"preparing a batch ("
                f"{1000 * self.data_s:.0f} of {1000 * (self.data_s + self.update_s):.0f} ms); "
                f"{self.workers} {'worker is' if self.workers == 1 else 'workers are'} enough"
            )
        said = (
            f"data-bound: {100 * self.waiting_share:.0f} % of a step is spent getting and preparing "
            f"a batch ({1000 * self.data_s:.0f} of {1000 * (self.data_s + self.update_s):.0f} ms). "
            "Loading is the workers' and can be hidden; preparing (pictures to floats, normalising) "
            "is the main process's and cannot"
        )
        if self.helps <= self.cores:
            return (
                f"{said}: --workers {self.helps} hides what of it is loading, and more than "
                f"{self.helps} gain nothing"
            )
        return (
            f"{said}: up to --workers {self.helps} may gain something, and this machine has "
            f"{self.cores} cores; smaller pictures make both cheaper"
        )


def bottleneck(windows: Sequence[Window], workers: int, cores: int) -> Bottleneck | None:
    """What the run waited for; None before anything was measured.

    The first window is left out where there are others: workers start in it. Workers make one batch
    in a step, so one batch costs a worker at most `workers * (data_s + update_s)` (without workers:
    `data_s`); as many as fit into one update are ready whenever the model is.
    """
    counted = windows[1:] or windows
    if not counted:
        return None
    data_s = sum(each.data_s for each in counted) / len(counted)
    update_s = sum(each.update_s for each in counted) / len(counted)
    step_s = data_s + update_s
    share = data_s / step_s if step_s > 0 else 0.0
    helps = workers
    if share >= _WAITING_SHARE:
        batch_s = workers * step_s if workers else data_s
        helps = max(workers + 1, math.ceil(batch_s / max(update_s, 1e-3)))
    return Bottleneck(share, data_s, update_s, workers, helps, cores)
