"""The one thread in which a served model computes, so that the event loop stays free.

openpi's own server computes inside its event loop: while a model compiles for a minute nobody's
pings are answered and every connection drops. Here the loop only hands work over and waits.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any


class Worker:
    """Does pieces of work in the order in which they come. All of them in the same thread, which is
    what CUDA graphs and compiled functions want.

    The thread is a daemon: a computation that never ends does not keep the program alive.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    async def do[T](self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, once it had its turn."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            if not answer.done():  # whoever waited is gone
                set_it(value)

        def tell(set_it: Callable[[Any], None], value: Any) -> None:
            try:
                loop.call_soon_threadsafe(settle, set_it, value)
            except RuntimeError:
                return  # the loop was closed meanwhile: the server has ended

        def turn() -> None:
            if answer.cancelled():
                return
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
                tell(answer.set_exception, error)
            else:
                tell(answer.set_result, value)

        self._work.put(turn)
        return await answer

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def close(self) -> None:
        """No more work: the thread ends after what it has."""
        self._work.put(None)
