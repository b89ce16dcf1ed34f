"""The uploads in a few words, and the thread that reads how far they are.

The uploader needs no daemon and no screen; here it is only looked at. What it publishes is one small
file, read once a second, away from the event loop: a failing disk may not stop the screen."""

import threading
from collections.abc import Callable

from robotd.errors import RobotdError
from robotd.uploading import FINAL, Uploads, read_uploads
from tui.look import Look

_PERIOD_S = 1.0
_MB = 1e6


def words(state: Uploads | None, look: Look) -> str:
    """What is under way, waits or needs a person; empty when there is nothing to say."""
    if state is None:
        return ""
    refused = [each for each in state.uploads if each.state == "refused"]
    if refused:
        return f"{look.alert} upload needs you: robotd upload"
    open_ones = [each for each in state.uploads if each.state not in FINAL]
    if not open_ones:
        return ""
    if state.paused:
        return "upload paused"
    if state.arm_moves:
        return "upload held while the arm moves"
    first = next((each for each in open_ones if each.state != "waiting"), open_ones[0])
    more = f" +{len(open_ones) - 1}" if len(open_ones) > 1 else ""
    if first.state == "waiting":
        return f"upload waits for the hub{more}"
    left = f" {first.bytes_left / _MB:.0f} MB left" if first.state == "sending" else ""
    return f"upload {first.state}{left}{more}"


class UploadsWatch:
    """Hands the state of the uploads to `seen` whenever it changed (called from its thread)."""

    def __init__(
        self,
        seen: Callable[[Uploads], None],
        crashed: Callable[[BaseException], None],
        read: Callable[[], Uploads] = read_uploads,
    ) -> None:
        self._seen = seen
        self._crashed = crashed
        self._read = read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tui-uploads", daemon=True)
        self._thread.start()

    def close(self, wait_s: float = 0.5) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        before = Uploads()
        try:
            while not self._ended.is_set():
                try:
                    state = self._read()
                except RobotdError:
                    state = Uploads()  # of another version: robotd upload says so
                if state != before and not self._ended.is_set():
                    self._seen(state)
                before = state
                self._ended.wait(_PERIOD_S)
        except Exception as error:  # noqa: BLE001 - a thread's end must reach the crash report
            self._crashed(error)
