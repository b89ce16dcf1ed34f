"""An adapter that was pulled is found again by its serial number, and no other one is taken for it.

Ports are pseudo-terminals, by-id links are links to them in a folder of the test's own.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from config.loader import load
from daemon.devices import Devices
from drivers.serial_identity import SerialIdentity
from robotd.errors import BusError


class Ttys:
    """Pseudo-terminals under the names that a kernel and udev would give them."""

    def __init__(self, folder: Path) -> None:
        self.dev = folder / "dev"
        self.by_id = folder / "by-id"
        self.dev.mkdir()
        self.by_id.mkdir()
        self._open: dict[str, tuple[int, int]] = {}

    def plug(self, serial: str, tty: str) -> Path:
        pair = self._open[serial] = os.openpty()
        node = self.dev / tty
        node.unlink(missing_ok=True)
        node.symlink_to(os.ttyname(pair[1]))
        (self.by_id / f"usb-1a86_{serial}-if00").symlink_to(os.ttyname(pair[1]))
        return node

    def unplug(self, serial: str, tty: str) -> None:
        for descriptor in self._open.pop(serial):
            os.close(descriptor)
        (self.dev / tty).unlink()
        (self.by_id / f"usb-1a86_{serial}-if00").unlink()

    def close(self) -> None:
        for pair in self._open.values():
            for descriptor in pair:
                os.close(descriptor)


@pytest.fixture
def ttys(tmp_path: Path) -> Iterator[Ttys]:
    made = Ttys(tmp_path)
    yield made
    made.close()


def devices(ttys: Ttys, port: Path) -> Devices:
    config = load(simulated=True).config
    arm = msgspec.structs.replace(next(iter(config.arms.values())), port=str(port), leader=None)
    return Devices(msgspec.structs.replace(config, arms={"arm": arm}), ttys.by_id)


def test_an_adapter_that_returns_as_another_tty_is_opened_again_and_its_name_is_told(
    ttys: Ttys, caplog: pytest.LogCaptureFixture
) -> None:
    opener = devices(ttys, ttys.plug("A1", "ttyACM0"))
    opener.open("arm", "follower").close()
    ttys.unplug("A1", "ttyACM0")
    with pytest.raises(BusError, match=r"A1.* is not plugged in"):
        opener.open("arm", "follower")
    ttys.plug("other", "ttyACM9")  # takes the number that A1 had
    ttys.plug("A1", "ttyACM1")
    with caplog.at_level(logging.WARNING):
        opener.open("arm", "follower").close()
        opener.open("arm", "follower").close()
    (told,) = caplog.messages  # once, not at every opening
    assert "write" in told and "usb-1a86_A1-if00" in told


def test_the_other_arms_adapter_under_the_old_name_is_not_taken_for_this_one(ttys: Ttys) -> None:
    opener = devices(ttys, ttys.plug("A1", "ttyACM0"))
    opener.open("arm", "follower").close()
    ttys.unplug("A1", "ttyACM0")
    ttys.plug("B2", "ttyACM0")
    with pytest.raises(BusError, match="Plugged in: usb-1a86_B2"):
        opener.open("arm", "follower")
    ttys.plug("A1", "ttyACM1")
    port = opener.open("arm", "follower")
    assert Path(f"/proc/self/fd/{port.fileno()}").resolve() == (ttys.dev / "ttyACM1").resolve()
    port.close()


def test_a_port_without_a_serial_number_is_known_by_its_path(ttys: Ttys) -> None:
    node = ttys.plug("A1", "ttyACM0")
    identity = SerialIdentity(str(node), ttys.dev.parent / "no-such-folder")
    identity.opened(identity.path())
    assert identity.path() == node
    ttys.unplug("A1", "ttyACM0")
    with pytest.raises(BusError, match="no serial device"):
        identity.path()
