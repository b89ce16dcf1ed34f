"""A model whose answers say what it was asked, and a served one to talk to."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.model import Interface, Timings
from policies.rtc import Leftover, RawChunk
from policies.server.recording import Recording
from policies.server.service import PolicyService
from policies.server.worker import Worker

CHUNK = 4
KEYS = ("observation.state", "observation.images.front")


class EchoModel:
    """Actions are the state, plus 100 for each `predict` since the last reset, plus the noise's sum."""

    kind = "echo"
    chunk = CHUNK
    n_action_steps = 2
    timings = Timings(infer_ns=3_000_000)
    means: Mapping[str, npt.NDArray[np.float64]] = {}

    def __init__(self, name: str = "echo", fps: float = 15.0, *, sees: bool = True) -> None:
        inputs = {KEYS[0]: Feature("STATE", (6,))}
        if sees:
            inputs[KEYS[1]] = Feature("VISUAL", (3, 64, 64))
        self.interface = Interface(name, inputs, {"action": Feature("ACTION", (6,))})
        self.evidence = Evidence(fps, "asked for", "degrees", "asked for")
        self.raw: RawChunk | None = None
        self.resets = 0
        self.since_reset = 0
        self.asked: list[tuple[dict[str, Any], str]] = []
        self.leftovers: list[Leftover | None] = []
        self.before: Callable[[], object] = lambda: None

    def reset(self) -> None:
        self.resets += 1
        self.since_reset = 0

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        self.before()
        self.asked.append((dict(values), task))
        self.leftovers.append(leftover)
        actions = np.tile(values[KEYS[0]].astype(np.float64), (CHUNK, 1)) + 100 * self.since_reset
        self.since_reset += 1
        self.raw = RawChunk(actions.astype(np.float32) / 7)
        return actions + (0.0 if noise is None else float(noise.sum()))

    def sha256(self, _digests: FileDigests) -> str:
        return "00" * 32


def observation(first: float = 1.0) -> dict[str, Any]:
    """What an openpi client of this model sends."""
    return {
        KEYS[0]: np.arange(6, dtype=np.float32) + np.float32(first),
        KEYS[1]: np.full((64, 64, 3), 7, np.uint8),
        "prompt": "put it there",
    }


@asynccontextmanager
async def served(
    model: Any,
    *,
    port: int = 0,
    api_key: str = "",
    recording: Recording | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    """A server in this loop; its address."""
    worker = Worker()
    service = PolicyService(
        model, model.sha256(FileDigests()), worker, api_key=api_key, recording=recording, **options
    )
    server = await service.listen("127.0.0.1", port)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        worker.close()


class ServedElsewhere:
    """A server in a thread of its own, for clients that block. `stop` and `start` as often as wanted, on one port."""

    def __init__(self, model: Any, **options: Any) -> None:
        self.model = model
        self.url = ""
        self._port = 0
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        ready = threading.Event()

        async def run() -> None:
            self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
            async with served(self.model, port=self._port, **self._options) as url:
                self.url, self._port = url, int(url.rsplit(":", 1)[1])
                ready.set()
                await self._ended.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        self._thread.start()
        assert ready.wait(60)
        return self.url

    def stop(self) -> None:
        if self._thread is None or self._loop is None or self._ended is None:
            return
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
        self._thread = None
