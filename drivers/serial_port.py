"""One serial device, owned by one process: open, lock, write, read what is there.

Ownership is a flock on the device itself, released by the kernel however the owner dies, plus
TIOCEXCL on real devices so that programs that do not ask for locks are kept out too. A device is
named by its link under /dev/serial/by-id, which follows the adapter's serial number, not the order
in which adapters were plugged in.
"""

import contextlib
import errno
import fcntl
import os
import termios
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import serial

from robotd.errors import BusError, PortInUseError

BAUD: Final = 1_000_000  # STS3215 factory setting, and LeRobot's
SERIAL_BY_ID: Final = Path("/dev/serial/by-id")
_READ_CHUNK: Final = 4096
_UNIX98_PTY_MAJORS: Final = range(136, 144)  # Linux Documentation/admin-guide/devices.txt


class SerialPort(Protocol):
    """A half-duplex byte line to the servos. No method blocks."""

    def write(self, data: bytes) -> None:
        """Hand all of `data` to the line. Raises BusError when the line does not take it."""
        ...

    def read_available(self) -> bytes:
        """Return what has arrived, `b""` for nothing. Raises BusError when the line is gone."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor to wait on; None when replies are there as soon as written."""
        ...

    def flush_input(self) -> None:
        """Forget what has arrived. Raises BusError when the line is gone."""
        ...

    def close(self) -> None:
        """Give the line back. May be called twice."""
        ...


class PySerialPort:
    """A serial device at 1 Mbaud, 8N1, non-blocking and exclusive.

    Raises PortInUseError when another process owns it, BusError when it cannot be opened.
    """

    def __init__(self, path: Path | str, baud: int = BAUD) -> None:
        self.path = str(path)
        try:
            # `exclusive` takes the flock before the settings or the input buffer are touched, so
            # that a refused second opener does not disturb the owner's traffic.
            self._serial = serial.Serial(self.path, baud, timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            raise _open_error(self.path, error) from error
        self._fd: int = self._serial.fileno()
        self._exclusive = False
        try:
            os.set_inheritable(self._fd, False)
            os.set_blocking(self._fd, False)
            self._exclusive = not _is_pty(self._fd)
            if self._exclusive:
                fcntl.ioctl(self._fd, termios.TIOCEXCL)
            _tell_silence_from_hangup(self._fd)
        except (OSError, termios.error) as error:  # it vanished while it was being opened
            self.close()
            raise _open_error(self.path, error) from error

    def write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise self._gone(error) from error
        if written != len(data):
            raise BusError(
                f"{self.path} took only {written} of {len(data)} bytes.",
                "The adapter's buffer is full: it has stopped sending.",
                "Unplug the USB cable of the servo board, plug it in again and restart.",
            )

    def read_available(self) -> bytes:
        try:
            data = os.read(self._fd, _READ_CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(EOFError("", "the device hung up"))
        return data

    def fileno(self) -> int:
        return self._fd

    def flush_input(self) -> None:
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            raise self._gone(error) from error

    def close(self) -> None:
        if not self._serial.is_open:
            return
        # The flag lives as long as anybody has the device open: take it back ourselves. A device
        # that went away has no flag any more, and nothing is left to close.
        with contextlib.suppress(OSError, termios.error):
            if self._exclusive:
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
        with contextlib.suppress(OSError, termios.error):
            self._serial.close()
        self._fd = -1

    def _gone(self, error: BaseException) -> BusError:
        reason = error.args[1] if len(error.args) > 1 else error
        return BusError(
            f"{self.path} stopped working ({reason}).",
            "The USB cable or the servo board's power came loose.",
            "Check both plugs at the servo board; robotd reopens the port by itself.",
        )


@dataclass(frozen=True, slots=True)
class SerialDevice:
    """An adapter by its stable name (`name`, `path`) and where that points now (`target`)."""

    name: str
    path: Path
    target: Path


def list_serial_devices(root: Path = SERIAL_BY_ID) -> list[SerialDevice]:
    """Return the adapters that are plugged in, sorted by name; empty when there are none."""
    if not root.is_dir():
        return []
    return [SerialDevice(link.name, link, link.resolve()) for link in sorted(root.iterdir())]


def resolve_serial_device(setting: str, root: Path = SERIAL_BY_ID) -> Path:
    """Return the device path for a setting: a path, or a by-id name (whole, or a part of it).

    Raises BusError when nothing or more than one adapter fits, naming what is plugged in.
    """
    if "/" in setting:
        path = Path(setting).expanduser()
        if path.exists():
            return path
        matches: list[SerialDevice] = []
    else:
        devices = list_serial_devices(root)
        exact = [device for device in devices if device.name == setting]
        matches = exact or [device for device in devices if setting in device.name]
        if len(matches) == 1:
            return matches[0].path
    plugged_in = ", ".join(device.name for device in list_serial_devices(root)) or "none"
    if matches:
        raise BusError(
            f"'{setting}' names {len(matches)} serial adapters.",
            f"The name is too short to tell them apart: {plugged_in}.",
            "Write the whole by-id name into the robot's profile.",
        )
    raise BusError(
        f"There is no serial device '{setting}'.",
        f"The servo board is not plugged in, or has another name. Plugged in: {plugged_in}.",
        f"Check the USB cable and its power, then `ls {root}` and put that name in the profile.",
    )


def lock_holder(lock_lines: Iterable[str], device: int, inode: int) -> int | None:
    """Return the process that holds a flock on a file, from the lines of /proc/locks.

    `device` and `inode` are `st_dev` and `st_ino` of the file.
    """
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in lock_lines:
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] == wanted:
            return int(fields[4])
    return None


def _tell_silence_from_hangup(fd: int) -> None:
    """Make a read of nothing fail with EAGAIN, so that an empty read means the line is gone.

    pyserial sets VMIN to 0, with which both look the same.
    """
    settings = termios.tcgetattr(fd)
    settings[6][termios.VMIN] = 1
    settings[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)


def _is_pty(fd: int) -> bool:
    """Whether a descriptor is a pseudo-terminal.

    There TIOCEXCL would outlive a killed owner, because the far side keeps the slave open, and
    lock out everybody but root; the flock alone decides.
    """
    return os.major(os.fstat(fd).st_rdev) in _UNIX98_PTY_MAJORS


def _open_error(path: str, error: Exception) -> BusError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        holder = _holder_of(path)
        who = f"process {holder}" if holder else "another process"
        find = f"`ps -p {holder}` shows it" if holder else f"`fuser -v {path}` shows it"
        return PortInUseError(
            f"{path} belongs to {who}.",
            "A robotd daemon, LeRobot or a servo tool is already running on this arm.",
            f"Stop it first ({find}; `robotd stop` for a daemon), then try again.",
        )
    if number == errno.EACCES:
        return BusError(
            f"{path} may not be opened by this user.",
            "The user is not in the group that owns serial devices (dialout or uucp).",
            "Run `sudo usermod -aG dialout $USER`, log out and in again.",
        )
    return BusError(
        f"{path} could not be opened: {error}.",
        "The servo board is not plugged in, or this is not a serial device.",
        f"Check the USB cable and `ls {SERIAL_BY_ID}`.",
    )


def _holder_of(path: str) -> int | None:
    locks = Path("/proc/locks")
    if not locks.exists():  # macOS
        return None
    status = Path(path).stat()
    return lock_holder(locks.read_text().splitlines(), status.st_dev, status.st_ino)
