"""What happens to ended episodes beside the rows: published, undone, decided on, in one thread."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.recorder.memory import give_back
from daemon.recorder.quality.gate import HeldBackError
from daemon.recorder.relabel import Change
from daemon.recorder.session import Session
from daemon.recorder.shelf import Published
from daemon.recorder.worker import Worker
from robotd.errors import RobotdError, StateError
from robotd.uploading import dataset_changed

log = logging.getLogger(__name__)

type Answered = Callable[[dict[str, Any]], None]
type Failed = Callable[[RobotdError], None]


class Saving:
    """Puts kept episodes into their datasets, in order. Everything public is for one thread.

    `unsaved` holds, by journal id, why a kept episode is not in its dataset; it is tried again with
    the next one. `ended(result)` is called for each that is, or that waits for a person's second word.
    """

    def __init__(self, session: Session, ended: Callable[[Published], None]) -> None:
        self.unsaved: dict[str, RobotdError] = {}
        self._session = session
        self._ended = ended
        self._worker = Worker()
        self._undoing = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._worker.idle

    def recover(self) -> None:
        """Find what an earlier process left, and publish what it kept."""
        found = self._session.recover()
        for manifest in found.offered:
            log.warning("episode %s is offered: %s", manifest.journal_id, manifest.reason)
        for name in found.unreadable:
            log.error("%s", name)
        self.publish()
        self._wake_uploader()

    def publish(self) -> None:
        """Put everything that waits into its dataset, soon."""
        if self._session.pending:
            self._worker.post(self._session.publish_pending, self._published)
            self.tidy()

    def undo(self, root: Path, journal_id: str, undone: Callable[[], None], failed: Failed) -> None:
        """Take the episode out again, if it is the last one in `root`. One at a time: StateError."""
        if self._undoing:
            raise StateError(
                "An undo is under way.",
                "It was asked for twice.",
                "Wait until it is done; another one then takes out the episode before it.",
            )

        def finished(_: None, error: RobotdError | None) -> None:
            self._undoing = False
            if error is not None:
                failed(error)
                return
            self.unsaved.pop(journal_id, None)
            self._wake_uploader()
            undone()

        self._undoing = True
        self._worker.post(lambda: self._session.undo(root, journal_id), finished)

    def decide(
        self,
        journal_id: str,
        keep: bool,
        into: tuple[Path, str] | None,
        answered: Answered,
        failed: Failed,
    ) -> None:
        """Keep (and publish) or discard an episode that waits for a person."""

        def work() -> tuple[int, list[Published]]:
            manifest = self._session.decide(journal_id, keep=keep, into=into)
            return manifest.rows, self._session.publish_pending() if keep else []

        def finished(found: tuple[int, list[Published]], error: RobotdError | None) -> None:
            if error is not None:
                failed(error)
                return
            rows, results = found
            if keep:
                self._published(results, None)
            else:
                self.unsaved.pop(journal_id, None)
            failure = self.unsaved.get(journal_id)
            data = {"journal": journal_id, "kept": keep, "frames": rows}
            data["published"] = keep and failure is None
            answered(data | three_parts(failure))

        self._worker.post(work, finished)

    def relabel(
        self, root: Path, journal_id: str, change: Change, done: Callable[[], None], failed: Failed
    ) -> None:
        """Change what is said of a kept episode, wherever it is by then."""

        def finished(_: object, error: RobotdError | None) -> None:
            done() if error is None else failed(error)

        self._worker.post(lambda: self._session.relabel(root, journal_id, change), finished)

    def tidy(self) -> None:
        """An episode ended: give back what it took, after whatever else there is to do."""
        self._worker.post(give_back, lambda _, __: None)

    def collect(self) -> None:
        """Take what ended meanwhile. Never waits."""
        self._worker.collect()

    def close(self) -> None:
        """Finish what was asked for, and end the thread."""
        self._worker.close()
        self._worker.collect()
        dataset_changed()  # of what was published last

    def _wake_uploader(self) -> None:
        """What was uploaded may have to go from the hub too, or another episode to it."""

        def woken(problem: str, _: RobotdError | None) -> None:
            if problem:
                log.warning("%s", problem)

        self._worker.post(dataset_changed, woken)

    def _published(self, results: list[Published] | None, error: RobotdError | None) -> None:
        if error is not None or results is None:
            log.error("%s", error)
            return
        before, self.unsaved = self.unsaved, {}
        for result in results:
            if isinstance(result.error, HeldBackError):
                log.warning("%s", result.error)
                self._ended(result)
            elif result.error is not None:
                self.unsaved[result.journal_id] = result.error
                known = before.get(result.journal_id)
                if known is None or known.what != result.error.what:
                    log.error("%s", result.error)
            elif result.commit is not None:
                log.info("episode %d saved", result.commit.episode_index)
                self._wake_uploader()
                for finding in result.verdict.flagged if result.verdict is not None else ():
                    log.warning("episode %d: %s", result.commit.episode_index, finding.what)
                self._ended(result)


def three_parts(error: RobotdError | None) -> dict[str, str]:
    """The error's sentences for a reply that is no refusal; empty without one."""
    if error is None:
        return {"error": "", "error_likely": "", "error_do": ""}
    return {"error": error.what, "error_likely": error.likely, "error_do": error.do}
