"""One device, one owner; and errors that say which cable."""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from drivers.serial_port import (
    PySerialPort,
    list_serial_devices,
    lock_holder,
    resolve_serial_device,
)
from robotd.errors import BusError, PortInUseError

from .scripted_servos import PtyServos, ScriptedServos, frame

OWNER = """
import sys, time
from drivers.serial_port import PySerialPort
port = PySerialPort(sys.argv[1])
print("OWNED", flush=True)
time.sleep(60)
"""


@pytest.fixture
def line():
    with PtyServos(ScriptedServos()) as servos:
        yield servos


@pytest.fixture
def owner(line):
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, line.path], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "OWNED\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_cannot_own_one_port(line, owner) -> None:
    with pytest.raises(PortInUseError) as caught:
        PySerialPort(line.path)
    assert f"process {owner.pid}" in caught.value.what
    assert caught.value.likely
    assert caught.value.do


def test_sigkill_of_the_owner_frees_the_port(line, owner) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    PySerialPort(line.path).close()


def test_one_process_cannot_open_a_port_twice(line) -> None:
    port = PySerialPort(line.path)
    with pytest.raises(PortInUseError):
        PySerialPort(line.path)
    port.close()
    PySerialPort(line.path).close()


def test_a_child_does_not_inherit_the_port(line) -> None:
    port = PySerialPort(line.path)
    flags = fcntl.fcntl(port.fileno(), fcntl.F_GETFD)
    assert flags & fcntl.FD_CLOEXEC
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
    port.close()
    try:
        # The child holds everything until its exec is through, which Popen returns just before.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                PySerialPort(line.path).close()
                break
            except PortInUseError:
                time.sleep(0.01)
        else:
            pytest.fail("the child holds the port")
    finally:
        child.kill()
        child.wait()


def test_reading_silence_returns_at_once(line) -> None:
    port = PySerialPort(line.path)
    began = time.monotonic()
    assert port.read_available() == b""
    assert time.monotonic() - began < 0.1
    port.close()


def test_the_port_runs_at_one_megabaud_raw(line) -> None:
    port = PySerialPort(line.path)
    settings = termios.tcgetattr(port.fileno())
    assert settings[4] == settings[5] == termios.B1000000
    assert not settings[3] & (termios.ECHO | termios.ICANON)
    port.close()


def test_flushed_input_is_forgotten(line) -> None:
    port = PySerialPort(line.path)
    port.write(frame(1, 0x01))
    time.sleep(0.05)
    port.flush_input()
    assert port.read_available() == b""
    port.close()


def test_an_unplugged_device_is_an_error_that_names_the_plug(line) -> None:
    port = PySerialPort(line.path)
    line.unplug()
    with pytest.raises(BusError) as caught:
        port.read_available()
    assert "plug" in caught.value.do
    with pytest.raises(BusError):
        port.write(frame(1, 0x01))
    port.close()
    port.close()


def test_a_device_that_is_not_there_is_a_three_part_error(tmp_path) -> None:
    with pytest.raises(BusError) as caught:
        PySerialPort(tmp_path / "ttyNONE")
    assert "could not be opened" in caught.value.what


def test_something_that_is_no_serial_device_is_an_error(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(BusError):
        PySerialPort(path)


def plug_in(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / f"tty{number}").write_bytes(b"")
        (root / "by-id").mkdir(exist_ok=True)
        (root / "by-id" / name).symlink_to(root / f"tty{number}")


def test_a_device_is_found_by_its_serial_number(tmp_path) -> None:
    plug_in(tmp_path, "usb-1a86_USB_Single_Serial_5A6800-if00", "usb-1a86_Serial_575E00-if00")
    root = tmp_path / "by-id"
    assert resolve_serial_device("575E00", root).name == "usb-1a86_Serial_575E00-if00"
    assert [d.target.name for d in list_serial_devices(root)] == ["tty1", "tty0"]


def test_an_exact_name_wins_over_a_longer_one(tmp_path) -> None:
    plug_in(tmp_path, "arm", "arm-left")
    assert resolve_serial_device("arm", tmp_path / "by-id").name == "arm"


def test_a_name_that_fits_two_adapters_is_refused(tmp_path) -> None:
    plug_in(tmp_path, "usb-A", "usb-B")
    with pytest.raises(BusError, match="2 serial adapters"):
        resolve_serial_device("usb", tmp_path / "by-id")


def test_a_missing_adapter_is_told_with_what_is_plugged_in(tmp_path) -> None:
    plug_in(tmp_path, "usb-A")
    with pytest.raises(BusError, match="Plugged in: usb-A"):
        resolve_serial_device("other", tmp_path / "by-id")
    with pytest.raises(BusError, match="Plugged in: none"):
        resolve_serial_device("other", tmp_path / "nowhere")
    with pytest.raises(BusError, match="no serial device"):
        resolve_serial_device(str(tmp_path / "ttyX"), tmp_path / "by-id")


def test_the_holder_of_a_lock_is_read_from_the_kernels_list(line) -> None:
    port = PySerialPort(line.path)
    status = Path(line.path).stat()
    lines = Path("/proc/locks").read_text().splitlines()
    assert lock_holder(lines, status.st_dev, status.st_ino) == os.getpid()
    assert lock_holder(lines, status.st_dev, status.st_ino + 99_999) is None
    port.close()
