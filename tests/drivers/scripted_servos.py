"""A tiny scripted set of servos for the drivers' tests: registers, replies and faults on demand.

It shares no code with `drivers` (frames are put together by hand here) and is no physics: it
answers from a register image. `ScriptedServos.answer(request)` is pure; `LoopbackPort` serves it
without a descriptor, `PtyServos` from a thread behind a real pseudo-terminal.
"""

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field

from robotd.errors import BusError


def frame(servo_id: int, code: int, data: bytes = b"") -> bytes:
    body = bytes([servo_id, len(data) + 2, code]) + data
    return b"\xff\xff" + body + bytes([255 - sum(body) % 256])


def words(value: int) -> list[int]:
    return [value % 256, value // 256]


def factory_image(servo_id: int, position: int = 2048) -> bytearray:
    """The 88 register bytes of an STS3215 as it comes up after power-on."""
    image = bytearray(88)
    image[0:2] = bytes([3, 10])
    image[3:5] = bytes([9, 3])
    image[5] = servo_id
    image[8] = 1
    image[11:13] = bytes(words(4095))
    image[13:16] = bytes([70, 140, 40])
    image[16:18] = bytes(words(1000))
    image[18] = 12
    image[19:21] = bytes([0x2C, 0x2F])
    image[21:24] = bytes([32, 32, 0])
    image[28:30] = bytes(words(310))
    image[34:37] = bytes([20, 200, 80])
    image[48:50] = bytes(words(1000))
    image[55] = 1
    image[56:58] = bytes(words(position))
    image[62:64] = bytes([121, 31])
    image[85] = 100
    return image


@dataclass
class Servo:
    """One servo's registers and its misbehaviour."""

    image: bytearray
    error: int = 0
    silent: bool = False
    corrupt: bool = False
    twins: int = 1
    drop_next: int = 0
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    flash: bytearray = field(default_factory=bytearray)

    def power_cycle(self) -> None:
        self.image[:40] = self.flash[:40]
        self.image[85] = self.flash[85]
        self.image[40] = 0
        self.image[41] = 0
        self.image[48:50] = self.image[16:18]
        self.image[55] = 1


class ScriptedServos:
    """Six servos by default; `servos[id]` is one of them."""

    def __init__(self, ids: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> None:
        self.servos = {i: Servo(factory_image(i, 2000 + i)) for i in ids}
        for servo in self.servos.values():
            servo.flash = bytearray(servo.image)
        self.requests: list[bytes] = []

    def answer(self, request: bytes) -> list[bytes]:
        """Return the reply frames to one instruction frame."""
        self.requests.append(request)
        target, code, params = request[2], request[4], request[5:-1]
        if code == 0x82:
            replies = [self._reply(i, self._read(i, params[0], params[1])) for i in params[2:]]
        elif code == 0x83:
            width = params[1]
            for at in range(2, len(params), width + 1):
                self._store(params[at], params[0], params[at + 1 : at + 1 + width])
            replies = []
        elif target not in self.servos:
            replies = []
        elif code == 0x01:
            replies = [self._reply(target, b"")]
        elif code == 0x02:
            replies = [self._reply(target, self._read(target, params[0], params[1]))]
        elif code == 0x03:
            self._store(target, params[0], params[1:])
            replies = [self._reply(target, b"")]
        else:
            replies = [self._reply(target, b"")]
        return [reply for reply in replies if reply]

    def _read(self, servo_id: int, address: int, length: int) -> bytes:
        if servo_id not in self.servos:
            return b""
        return bytes(self.servos[servo_id].image[address : min(address + length, 87)])

    def _store(self, servo_id: int, address: int, data: bytes) -> None:
        servo = self.servos.get(servo_id)
        if servo is None or servo.silent:
            return
        servo.writes.append((address, bytes(data)))
        servo.image[address : address + len(data)] = data
        if servo.image[55] == 0:
            servo.flash[address : address + len(data)] = data

    def _reply(self, servo_id: int, data: bytes) -> bytes:
        servo = self.servos.get(servo_id)
        if servo is None or servo.silent:
            return b""
        if servo.drop_next:
            servo.drop_next -= 1
            return b""
        reply = frame(servo_id, servo.error, data)
        if servo.corrupt:
            reply = reply[:-1] + bytes([reply[-1] ^ 0x55])
        return reply * servo.twins


def split_requests(stream: bytes) -> tuple[list[bytes], bytes]:
    """Cut a byte stream from the driver into instruction frames and the rest."""
    frames = []
    while len(stream) >= 4 and len(stream) >= stream[3] + 4:
        size = stream[3] + 4
        frames.append(stream[:size])
        stream = stream[size:]
    return frames, stream


class LoopbackPort:
    """A port without a descriptor: replies are there as soon as the request is written."""

    def __init__(self, servos: ScriptedServos) -> None:
        self.servos = servos
        self.incoming = b""
        self.dead = False
        self.mangle: Callable[[list[bytes]], bytes] = b"".join
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.dead:
            raise BusError("The line is gone.", "The test cut it.", "Nothing.")
        for request in split_requests(data)[0]:
            self.incoming += self.mangle(self.servos.answer(request))

    def read_available(self) -> bytes:
        data, self.incoming = self.incoming, b""
        return data

    def fileno(self) -> int | None:
        return None

    def flush_input(self) -> None:
        self.incoming = b""

    def close(self) -> None:
        self.closed = True


class PtyServos:
    """Scripted servos behind a pseudo-terminal; `delay_s` holds back each reply of a request."""

    def __init__(self, servos: ScriptedServos, delay_s: Callable[[bytes], float] | None = None):
        self.servos = servos
        self._delay_s = delay_s or (lambda reply: 0.0)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "PtyServos":
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def unplug(self) -> None:
        """End the thread and close both sides: what a pulled USB cable looks like."""
        if self._thread.is_alive():
            os.write(self._stop_write, b"x")
            self._thread.join()
            for fd in (self._master, self._slave, self._stop_read, self._stop_write):
                os.close(fd)

    def _serve(self) -> None:
        pending: list[tuple[float, bytes]] = []
        stream = b""
        while True:
            now = time.monotonic()
            for due, reply in [item for item in pending if item[0] <= now]:
                os.write(self._master, reply)
                pending.remove((due, reply))
            wait = max(0.0, min(due for due, _ in pending) - now) if pending else None
            ready = select.select([self._master, self._stop_read], [], [], wait)[0]
            if self._stop_read in ready:
                return
            if self._master in ready:
                frames, stream = split_requests(stream + os.read(self._master, 4096))
                for request in frames:
                    for reply in self.servos.answer(request):
                        pending.append((time.monotonic() + self._delay_s(reply), reply))
