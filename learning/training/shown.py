"""How far a training run is, for a person: a bar on a terminal, lines elsewhere."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from learning.training.watch import TrainLog


class TrainBar:
    """A bar on a terminal; elsewhere a line for each window of the trainer's log."""

    def __init__(self, log: TrainLog, say: Callable[[str], None], *, as_json: bool) -> None:
        self._log, self._say = log, say
        self._progress: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal and not as_json:
            self._progress = Progress(
                TextColumn("step {task.completed:.0f} of {task.total:.0f}"),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=console,
            )
            self._task = self._progress.add_task("", total=log.total_steps)
            self._progress.start()

    def show(self, what: str) -> None:
        """After a line that was `what`."""
        window = self._log.windows[-1] if self._log.windows else None
        said = "" if window is None else f"loss {window.loss:.3f}"
        if self._progress is not None:
            self._progress.update(self._task, completed=self._log.step, description=said)
        elif what == "window" and window is not None:
            self._say(
                f"  step {window.step} of {self._log.total_steps}: {said}, data "
                f"{1000 * window.data_s:.0f} ms, update {1000 * window.update_s:.0f} ms"
            )

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None:
            self._progress.stop()
