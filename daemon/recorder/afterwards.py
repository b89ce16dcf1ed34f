"""What a person says of episodes that have ended: a label, an undo, keep or discard after all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.recorder import channel
from daemon.recorder.catalog import dataset_root
from daemon.recorder.plan import Plan
from daemon.recorder.remarks import put_label
from daemon.recorder.saving import Saving
from daemon.recorder.session import Session
from robotd.errors import RobotdError, StateError
from robotd.paths import lerobot_home

type Answer = Callable[[channel.FromRecorder], None]


class Afterwards:
    """Carries these commands out beside the rows, and answers each when it is done or refused."""

    def __init__(self, session: Session, saving: Saving, answer: Answer) -> None:
        self._session = session
        self._saving = saving
        self._answer = answer

    def label(self, plan: Plan, command: channel.SetLabel) -> None:
        """Say of the running episode, or of the last kept one, what `command` says."""
        put_label(
            self._session,
            self._saving,
            plan,
            command.success,
            command.note,
            lambda data: self._done(command.id, data),
            lambda error: self._refuse(command.id, error),
        )

    def undo(self, plan: Plan, command_id: int) -> None:
        """Take back the last keep of `plan`. Raises StateError while an episode is recorded, or
        where none was kept."""
        if self._session.recording is not None:
            raise StateError(
                "An episode is being recorded.",
                "Undo takes out the last kept one, and it is not clear which is meant.",
                "Keep (→) or discard (←) the running episode first.",
            )
        if not plan.kept:
            raise StateError(
                "There is nothing to undo.",
                "No episode was kept in this session.",
                "An episode of an earlier session is taken out with robotd dataset undo.",
            )
        journal_id = plan.kept[-1]

        plan.pace.wait_for_a_key()  # what was undone shows that something is not as it should be

        def undone() -> None:
            plan.take_back(journal_id)
            self._done(command_id, {"journal": journal_id})

        self._saving.undo(
            Path(plan.spec.dataset_root),
            journal_id,
            undone,
            lambda error: self._refuse(command_id, error),
        )

    def decide(self, command: channel.Decide, plan: Callable[[], Plan | None]) -> None:
        """Keep or discard an episode that waits for a person; `plan()` is the session that is open
        when that is done."""
        into = (dataset_root(lerobot_home(), command.into), command.into) if command.into else None

        def answered(data: dict[str, Any]) -> None:
            now = plan()
            if now is not None and not command.keep and command.journal in now.kept:
                now.take_back(command.journal)
            self._done(command.id, data)

        self._saving.decide(
            command.journal,
            command.keep,
            into,
            answered,
            lambda error: self._refuse(command.id, error),
        )

    def _done(self, command_id: int, data: dict[str, Any]) -> None:
        self._answer(channel.Done(id=command_id, data=data))

    def _refuse(self, command_id: int, error: RobotdError) -> None:
        self._answer(channel.refused(command_id, error))
