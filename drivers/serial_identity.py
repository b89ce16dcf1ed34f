"""One adapter, found again whatever tty the kernel gives it.

An adapter that was unplugged may come back as another /dev/ttyACM*, and its old name may then be
somebody else's: the other arm's, when two were plugged in the other way round. So the by-id name of
what was opened first is remembered, and only that adapter is opened again.
"""

import logging
from pathlib import Path

from drivers.serial_port import SERIAL_BY_ID, list_serial_devices, resolve_serial_device
from robotd.errors import BusError

log = logging.getLogger(__name__)


class SerialIdentity:
    """The adapter that a setting (a path, or a by-id name or part of one) means.

    `root` is where by-id links are. An adapter without one (a virtual line, a board without a
    serial number) is known by its path alone.
    """

    def __init__(self, setting: str, root: Path = SERIAL_BY_ID) -> None:
        self._setting = setting
        self._root = root
        # Named by tty, by which it will not be found after the next start of the computer.
        self._by_tty = "/" in setting and root not in Path(setting).parents
        self._by_id = ""
        self._target: Path | None = None

    def path(self) -> Path:
        """The device to open now. Raises BusError when the adapter is not plugged in."""
        if not self._by_id:
            return resolve_serial_device(self._setting, self._root)
        found = [each for each in list_serial_devices(self._root) if each.name == self._by_id]
        if found and found[0].target.exists():
            return found[0].path
        plugged_in = ", ".join(each.name for each in list_serial_devices(self._root)) or "none"
        raise BusError(
            f"The adapter {self._by_id} is not plugged in.",
            f"Its USB cable came loose. Plugged in: {plugged_in}.",
            "Plug it in again, into any port: it is found by its serial number.",
        )

    def opened(self, path: Path) -> None:
        """`path` was opened: remember which adapter that is."""
        target = path.resolve()
        if not self._by_id:
            own = [each for each in list_serial_devices(self._root) if each.target == target]
            if own:
                self._by_id = own[0].name
                if self._by_tty:
                    log.info(
                        "%s is named by its tty, which another adapter may have tomorrow; the "
                        "name that lasts is %s",
                        self._setting,
                        own[0].path,
                    )
        elif target != self._target and self._by_tty:
            log.warning(
                "%s is %s now, not %s. To name it for good, write %s into the robot's profile",
                self._by_id,
                target,
                self._target,
                self._root / self._by_id,
            )
        self._target = target
