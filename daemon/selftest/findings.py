"""The facts as they are found out, and the record that they make."""

from dataclasses import dataclass, field

from daemon.selftest.facts import FACTS, Verdict
from daemon.selftest.record import Measured


@dataclass(slots=True)
class Findings:
    """What was measured so far, by fact. A fact is noted once; a contradiction stays one."""

    measured: dict[str, tuple[str, Verdict]] = field(default_factory=dict)
    firmware: str = ""
    supply: str = ""
    present_v: float = 0.0
    telemetry_p99_ms: float = 0.0
    sinking_rad_s: float = 0.0

    def note(self, fact: str, measured: str, holds: bool | None) -> None:
        """`holds` None: it was looked at, and what was seen decides nothing."""
        verdict: Verdict = "unclear" if holds is None else "confirmed" if holds else "contradicted"
        self.measured[fact] = (measured, verdict)

    def facts(self) -> tuple[Measured, ...]:
        """Every fact, tried or not, in the order of the list."""
        found = []
        for fact in FACTS:
            measured, verdict = self.measured.get(fact.id, ("", "not tried"))
            found.append(
                Measured(
                    id=fact.id,
                    text=fact.text,
                    source=fact.source,
                    how=fact.how,
                    predicted=fact.predicted,
                    measured=measured,
                    verdict=verdict,
                )
            )
        return tuple(found)
