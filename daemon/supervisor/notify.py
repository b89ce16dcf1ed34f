"""Telling systemd how it goes (sd_notify): one datagram, no library, nothing where nobody listens.

The watchdog is fed only by the caller that saw a tick completed; a side thread would prove nothing.
"""

import os
import socket


class Notifier:
    """Sends to `$NOTIFY_SOCKET`. Every call is cheap and never waits."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._status = ""

    @property
    def watchdog_s(self) -> float | None:
        """How often the service manager wants to hear of us; None when it does not."""
        try:
            return int(os.environ["WATCHDOG_USEC"]) / 1e6
        except (KeyError, ValueError):
            return None

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start or to stop than the unit gives: an arm is on its way down."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent when it changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # Linux's abstract namespace
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            try:
                channel.sendto(message.encode(), address)
            except OSError:
                # The service manager is restarting or its queue is full; the next one will do.
                return
