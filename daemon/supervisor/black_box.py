"""Writes a black box when something goes wrong: watches the ticks, waits a moment for what follows,
copies the rings in a thread of its own.

Control is not asked for anything: its rings are read, and they outlive it. The supervisor's loop is
held up by nothing but the opening of two files.
"""

import logging
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from config.joints import joint_names
from config.schema import Config
from daemon.blackbox.folder import BoxNote, Contents, note_of, write_box
from daemon.blackbox.onset import Cause, Onsets
from daemon.control.bus_trace import bus_lines
from daemon.supervisor.words import fault_words
from robotd import __version__, layouts
from robotd.clock import NS_PER_S, Clock
from robotd.late import LateFile
from robotd.messages import Check
from robotd.shm import Layout, LayoutError, RingReader
from robotd.states import Fault, State

log = logging.getLogger(__name__)

AFTER_NS = 3 * NS_PER_S
"""Until the box is closed: what the arm did about it (a governed release takes two to three
seconds) is part of the story. A minute is kept, so 57 s of it lie before."""
_LOG_LINES = 200
_LOG_TAIL_BYTES = 1 << 16
_CLOSE_S = 10.0

_Rings = dict[str, tuple[Layout, RingReader]]


class BlackBox:
    """The black boxes of one robot. `parent` is the folder that they go to."""

    def __init__(
        self,
        config: Config,
        runtime: Path,
        logs: Path,
        parent: Path,
        clock: Clock,
        arming: Callable[[], tuple[Check, ...]],
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._logs = logs
        self._parent = parent
        self._clock = clock
        self._arming = arming
        self._joints = joint_names(config)
        self._layout = layouts.tick_layout(len(self._joints))
        self._file = LateFile(runtime / "ticks", lambda path: RingReader(path, self._layout))
        self._next = 0
        self._onsets = Onsets()
        self._pending: tuple[str, Cause, int] | None = None  # id, why, when it is due
        self._writing: list[threading.Thread] = []
        self._last_id = ""
        self.newest = ""
        """The box of what is latched now; "" when nothing is."""

    def look(self) -> None:
        """Take the ticks since the last look, and write what is due. Raises nothing of the disk's."""
        if self._file.look():
            self._next = 0
            self._onsets.restart()
            self.newest = ""
        reader = self._file.reader
        if reader is not None:
            count = reader.count
            for index in range(max(self._next, count - reader.capacity + 1), count):
                record = reader.read(index) if self._suspicious(reader, index) else None
                if record is not None:
                    self._feed(record)
            self._next = count
        if self._pending is not None and self._clock.now_ns() >= self._pending[2]:
            self._write()

    def control_died(self, what: str, do: str) -> None:
        """Control ended unasked: the rings are as it left them, and a new control replaces them.

        `what` and `do` are what the supervisor says of it. A fault whose box is still open is why
        it ended, or was before: one box has both.
        """
        self.look()
        if self._pending is None:
            self._begin(Cause("control_died"))
        self._write(what, do)

    def close(self) -> None:
        """Write what waits, and wait for what is being written."""
        if self._pending is not None:
            self._write()
        for thread in self._writing:
            thread.join(_CLOSE_S)

    # --- noticing ---------------------------------------------------------------------------------

    def _suspicious(self, reader: RingReader, index: int) -> bool:
        """Whether a tick may begin something; three bytes are read of most."""
        quick = reader.read_packed(index, self._layout.offset("state"), 4)
        if quick is None:
            return False
        state, fault = quick[0], quick[3]
        calm = state != State.ESTOP and fault == Fault.NONE
        if calm:
            self.newest = ""
            self._onsets.feed(index, State(state), Fault.NONE, -1)
        return not calm

    def _feed(self, record: dict[str, int]) -> None:
        cause = self._onsets.feed(
            record["index"], State(record["state"]), Fault(record["fault"]), record["fault_joint"]
        )
        if cause is None:
            return
        if self._pending is not None:
            self._write()  # a second thing within three seconds: the first box ends here
        self._begin(cause)

    def _begin(self, cause: Cause) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{cause.word}"
        if name == self._last_id:
            name = f"{name}-again"
        self._last_id = self.newest = name
        self._pending = (name, cause, self._clock.now_ns() + AFTER_NS)

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, what: str = "", do: str = "") -> None:
        """Close the open box; `what` and `do` where the cause itself has no words."""
        if self._pending is None:
            return
        name, cause, _ = self._pending
        self._pending = None
        rings = self._open_rings()
        note = self._note(name, cause, what, do)
        thread = threading.Thread(
            target=self._save, args=(note, rings), name="black box", daemon=True
        )
        self._writing = [each for each in self._writing if each.is_alive()]
        self._writing.append(thread)
        thread.start()

    def _open_rings(self) -> _Rings:
        """The rings as they are now: a file that is replaced later stays ours while it is mapped."""
        rings: _Rings = {}
        for file, layout in (("ticks", self._layout), ("bus", layouts.BUS)):
            try:
                rings[file] = (layout, RingReader(self._runtime / file, layout))
            except (OSError, LayoutError, ValueError) as error:
                log.error("the black box goes without %s: %s", file, error)
        return rings

    def _note(self, name: str, cause: Cause, what: str, do: str) -> BoxNote:
        joint = self._joints[cause.joint] if 0 <= cause.joint < len(self._joints) else None
        if cause.kind == "fault":
            what, do = fault_words(Fault[cause.fault], joint)
        elif cause.kind == "estop":
            what, do = "the e-stop was pressed", "Look at the arm, then: robotd clear."
        boot = Path("/proc/sys/kernel/random/boot_id")
        return BoxNote(
            id=name,
            robot=self._config.name,
            simulated=self._config.simulation is not None,
            cause=cause,
            what=what,
            do=do,
            wall_s=time.time(),
            utc_offset_s=time.localtime().tm_gmtoff,
            monotonic_ns=self._clock.now_ns(),
            boot_id=boot.read_text().strip() if boot.exists() else "",
            tick_hz=self._config.control.tick_hz,
            joints=self._joints,
            lines=tuple(" ".join(line) for line in bus_lines(self._config)),
            versions={
                "robotd": __version__,
                "python": platform.python_version(),
                "system": platform.platform(),
            },
            arming=self._arming(),
            ticks=None,
            bus=None,
        )

    def _save(self, note: BoxNote, rings: _Rings) -> None:
        """In a thread: copy, pack, write. Whatever goes wrong costs the box and nothing else."""
        try:
            packed: dict[str, bytes] = {}
            for file, (layout, reader) in rings.items():
                first, packed[file] = reader.packed()
                reader.close()
                note = msgspec.structs.replace(note, **{file: note_of(layout, first)})
            files = {"logs.txt": self._log_lines(), "config.json": self._config_bytes()}
            log.info("black box: %s", write_box(self._parent, note, Contents(packed, files)))
        except Exception:
            log.exception("the black box %s could not be written", note.id)

    def _config_bytes(self) -> bytes:
        try:
            return (self._runtime / "config.json").read_bytes()
        except OSError as error:
            return f"could not be read: {error}\n".encode()

    def _log_lines(self) -> bytes:
        parts = []
        for path in sorted(self._logs.glob("*.log")):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
            parts += [f"{path.stem:12} {line}" for line in lines]
        return ("\n".join(parts) + "\n").encode()
