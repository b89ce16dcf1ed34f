"""What this robot knows of rehearsals: the hash of a subject on it, and how the subject stands."""

from collections.abc import Sequence

from config.schema import Config
from daemon.rehearsals import (
    Evidence,
    RehearsalStore,
    Standing,
    Subject,
    evidence,
    rehearsal_key,
    standing,
)
from drivers.calibration import fingerprint
from drivers.joint_map import JointMap
from robotd.errors import StateError
from robotd.policy_channel import Ready


class RobotRehearsals:
    """The verdicts that hold for one robot as it is configured and calibrated now."""

    def __init__(self, config: Config, maps: Sequence[JointMap], store: RehearsalStore) -> None:
        self.store = store
        self.simulated = config.simulation is not None
        self._config = config
        self._calibrations = [fingerprint(each.calibration) for each in maps]

    def key(self, ready: Ready, rename: dict[str, str] | None = None) -> str:
        """The hash of what a process has loaded, played as it was asked for."""
        replay = ready.kind == "replay"
        subject = Subject(
            sha256=ready.sha256,
            fps=float(ready.fps),
            units=ready.units,
            n_action_steps=0 if replay else ready.n_action_steps,
            mode="" if replay else ready.mode,
            rename=rename or {},
            embodiment=ready.embodiment,
            time_scale=ready.time_scale,
            changed=ready.changed,
        )
        return rehearsal_key(self._config, self._calibrations, subject)

    def evidence(self, ready: Ready) -> Evidence:
        """Which rehearsals say something of it."""
        return evidence(
            simulated=self.simulated,
            cameras=ready.cameras,
            told=ready.told,
            replay=ready.kind == "replay",
        )

    def standing(self, key: str, subject: str) -> Standing:
        """How it stands; reads one small file. `subject` is how it is named to `rehearse`."""
        return standing(self.store.find(key), f"robotd rehearse {subject}")


def refuse_unrehearsed(standing: Standing) -> None:
    """Raise StateError for a policy without a rehearsal that is evidence and ended well."""
    if not standing.rehearsed:
        raise StateError(
            f"No rehearsal of this policy on this robot ended well ({standing.words}).",
            "It is new here, its rehearsal failed, or checkpoint, calibration or limits changed since.",
            f"{standing.do} (moves nothing); or say that you take it as it is: --unrehearsed.",
        )
