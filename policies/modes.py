"""Which way chunks are played: one after the other, ensembled, or in real time (RTC).

*chunk*: the newest chunk takes over from the one before, faded over `policy.crossfade_ms`.
*ensemble*: the mean of all chunks that speak of a moment, newest or oldest heaviest.
*rtc*: the next chunk is inferred so that it goes on from the one that plays (`policies/rtc.py`);
only flow policies can be asked for that. *auto* is rtc where the policy can, chunk elsewhere:
ensembling was found to hurt flow policies (the Pi0 paper, arXiv 2410.24164), and averages what
should be a choice.
"""

from dataclasses import dataclass

from config.schema import Policy
from policies.plan import Ensemble, parse_ensemble
from policies.rtc import Schedule
from robotd.errors import CheckpointError
from robotd.policy_channel import MODES

AUTO, CHUNK, ENSEMBLE, RTC = MODES

_DEFAULT_ORDER = "newest"  # 82 to 90 % on an SO-101 where it was measured; ACT's own is oldest


@dataclass(frozen=True, slots=True)
class Rtc:
    """How a next chunk is guided. `horizon`: steps over which the pull fades, counted from the end
    of the frozen prefix (LeRobot counts from the observation, so a long delay leaves none)."""

    horizon: int = 10
    schedule: Schedule = Schedule.LINEAR
    max_weight: float = 10.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One way of playing, decided: at most one of both is given."""

    ensemble: Ensemble | None = None
    rtc: Rtc | None = None

    @property
    def words(self) -> str:
        """As status shows it: chunk, rtc, ensemble newest:0.01."""
        if self.rtc is not None:
            return RTC
        if self.ensemble is not None:
            return f"{ENSEMBLE} {self.ensemble.order}:{self.ensemble.coefficient:g}"
        return CHUNK


PLAIN = Mode()
"""One chunk after the other."""


def choose(mode: str, ensemble: str, settings: Policy, *, guidable: bool) -> Mode:
    """The way to play, from what was asked for and the configuration.

    `mode` is one of MODES, empty for the configuration's; `ensemble` (order and coefficient, see
    `parse_ensemble`) asks for ensembling by itself. `guidable`: the policy can do RTC. Raises
    CheckpointError for a mode that is not known, that this policy cannot, or two at once.
    """
    order = parse_ensemble(ensemble)
    if mode not in ("", *MODES):
        raise CheckpointError(
            f"There is no mode {mode!r} to play chunks in.",
            "It is a typing error.",
            f"Use one of {', '.join(MODES)}.",
        )
    if order is not None and mode not in ("", ENSEMBLE):
        raise CheckpointError(
            f"--ensemble {ensemble} does not go with --mode {mode}.",
            "Ensembling is a mode of its own.",
            "Leave out one of the two.",
        )
    asked = ENSEMBLE if order is not None else mode or settings.mode
    if asked == ENSEMBLE:
        return Mode(ensemble=order or parse_ensemble(_DEFAULT_ORDER))
    if asked == RTC and not guidable:
        raise CheckpointError(
            "This policy cannot be played in mode rtc.",
            "Real-time chunking guides the flow that makes a chunk; this one is no flow policy "
            "(ACT and diffusion are not), or its server cannot be told.",
            "Use --mode chunk (the default for it) or --mode ensemble.",
        )
    if asked in (RTC, AUTO) and guidable:
        return Mode(
            rtc=Rtc(settings.rtc_horizon, Schedule(settings.rtc_schedule), settings.rtc_max_weight)
        )
    return PLAIN
