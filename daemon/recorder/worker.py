"""Work beside recording, one thread a worker: kept episodes are ended, published, taken out again.

The row loop must not wait for a dataset, so it posts jobs here and collects the results. Encoding
and file work release the interpreter; rows wait in their rings meanwhile.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from robotd.errors import RobotdError

log = logging.getLogger(__name__)

type Job = Callable[[], Any]
type Finished = Callable[[Any, RobotdError | None], None]

_NICENESS = 10  # behind the rows and behind control, when the cores are short


class Worker:
    """Runs jobs in order in a thread; `collect` hands the results to the caller's own thread.

    One that `steps_back` runs when nobody else wants the core.
    """

    def __init__(self, name: str = "publish", *, steps_back: bool = True) -> None:
        self._steps_back = steps_back
        self._jobs: queue.Queue[tuple[Job, Finished] | None] = queue.Queue()
        self._results: queue.Queue[tuple[Finished, Any, RobotdError | None]] = queue.Queue()
        self._open = 0
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether every job's result has been collected."""
        return self._open == 0

    def post(self, job: Job, finished: Finished) -> None:
        """Run `job` after those before it; then `finished(result, error)` from `collect`."""
        self._open += 1
        self._jobs.put((job, finished))

    def collect(self) -> None:
        """Call what is due for every job that ended. Never waits. A job that failed by a defect of
        ours ends the process here: the supervisor starts it again and nothing kept is lost."""
        if self._crash is not None:
            raise self._crash
        while True:
            try:
                finished, result, error = self._results.get_nowait()
            except queue.Empty:
                return
            self._open -= 1
            finished(result, error)

    def close(self) -> None:
        """Finish the jobs that were posted and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        if self._steps_back:
            _step_back()
        while (entry := self._jobs.get()) is not None:
            job, finished = entry
            try:
                self._results.put((finished, job(), None))
            except RobotdError as error:
                self._results.put((finished, None, error))
            except BaseException as error:
                self._crash = error
                raise


def _step_back() -> None:
    """Lower this thread's priority. Only Linux has one for each thread; elsewhere it is nobody's."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    except OSError as error:
        log.info("publishing runs at the recorder's own priority: %s", error)
