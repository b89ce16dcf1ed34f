"""Bytes of a servo line as a person reads them: instructions and replies, one line each. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.framer import BROADCAST_ID, FRAME_OVERHEAD, HEADER, Instruction, checksum
from drivers.registers import BY_NAME

_NAMES = {register.address: (name, register.size) for name, register in BY_NAME.items()}
_SHOWN_BYTES = 24


def transactions(
    bus: Sequence[Mapping[str, Any]], lines: Sequence[str], from_ns: int, until_ns: int
) -> Iterator[tuple[int, str]]:
    """Stamp and words of everything that passed between two stamps, the oldest first."""
    for record in bus:
        stamp_ns = int(record["stamp_ns"])
        if not from_ns <= stamp_ns <= until_ns:
            continue
        data = bytes(record["data"][: record["length"]])
        line = lines[record["line"]] if record["line"] < len(lines) else f"line {record['line']}"
        direction = "<-" if record["direction"] else "->"
        words = heard(data) if record["direction"] else sent(data)
        if record["length"] > len(record["data"]):
            words = f"{words} … ({record['length']} bytes)"
        yield stamp_ns, f"{line} {direction} {words}"


def sent(data: bytes) -> str:
    """One instruction."""
    if len(data) < FRAME_OVERHEAD or data[:2] != HEADER:
        return _raw(data)
    servo, code, params = data[2], data[4], data[5:-1]
    who = "all" if servo == BROADCAST_ID else f"servo {servo}"
    match code:
        case Instruction.PING:
            return f"ping {who}"
        case Instruction.READ if len(params) == 2:
            return f"read {_where(params[0], params[1])} of {who}"
        case Instruction.WRITE if params:
            return f"write {_where(params[0], len(params) - 1)} = {_number(params[1:])} to {who}"
        case Instruction.SYNC_READ if len(params) > 2:
            ids = ",".join(map(str, params[2:]))
            return f"sync read {_where(params[0], params[1])} of {ids}"
        case Instruction.SYNC_WRITE if len(params) > 2:
            return f"sync write {_where(params[0], params[1])}: {_each(params[1], params[2:])}"
    return f"instruction {code:02x} to {who}: {_raw(params)}"


def heard(data: bytes) -> str:
    """The replies in what was read at once, and what is no whole reply."""
    words: list[str] = []
    at = 0
    while at < len(data):
        start = data.find(HEADER, at)
        if start != at:
            end = len(data) if start < 0 else start
            words.append(f"[{_raw(data[at:end])}]")
            at = end
            continue
        end = at + 4 + (data[at + 3] if at + 3 < len(data) else 255)
        if end > len(data):
            words.append(f"[cut: {_raw(data[at:])}]")
            break
        good = checksum(data[at + 2 : end - 1]) == data[end - 1]
        error = f" status {data[at + 4]:02x}" if data[at + 4] else ""
        broken = "" if good else " BAD CHECKSUM"
        words.append(f"{data[at + 2]}{error}{broken} {_position(data[at + 5 : end - 1])}".rstrip())
        at = end
    return " | ".join(words)


def _where(address: int, length: int) -> str:
    name, size = _NAMES.get(address, (f"{address}", 0))
    return name if length == size else f"{name}+{length}B"


def _number(data: bytes) -> str:
    return str(int.from_bytes(data, "little")) if len(data) <= 2 else _raw(data)


def _each(size: int, data: bytes) -> str:
    stride = size + 1
    return " ".join(
        f"{data[at]}={_number(data[at + 1 : at + stride])}" for at in range(0, len(data), stride)
    )


def _position(data: bytes) -> str:
    """A telemetry block begins with the position; anything else as it is."""
    if len(data) >= 15:
        return f"at {int.from_bytes(data[:2], 'little')}"
    return _number(data) if data else "ok"


def _raw(data: bytes) -> str:
    return data[:_SHOWN_BYTES].hex(" ") + (" …" if len(data) > _SHOWN_BYTES else "")
