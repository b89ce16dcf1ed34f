"""What a server was asked and what it answered, as files that can be played again.

One file per answer, `<number>.msgpack`, in the wire's own format: `values`, `prompt` and `actions`.
openpi's recorder writes pickled dictionaries; these open without running anybody's code.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.server.request import Request
from policies.server.wire import WireError, pack, unpack
from robotd.errors import DatasetError

log = logging.getLogger("serve-policy")

SPARE_BYTES = 1 << 30
"""Recording stops while the disk has less: the machine has other things to write."""
_SUFFIX = ".msgpack"


@dataclass(frozen=True, slots=True)
class Kept:
    """One recorded answer."""

    values: dict[str, npt.NDArray[Any]]
    task: str
    noise: npt.NDArray[np.float32] | None
    actions: npt.NDArray[np.float64]


class Recording:
    """Writes into `folder`, after what is there already. Raises DatasetError when it cannot."""

    def __init__(self, folder: Path, spare_bytes: int = SPARE_BYTES) -> None:
        self._folder = folder
        self._spare_bytes = spare_bytes
        self._full = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            known = [int(each.stem) for each in folder.glob(f"*{_SUFFIX}") if each.stem.isdigit()]
        except OSError as error:
            raise DatasetError(
                f"Nothing can be recorded in {folder}: {error.strerror}.",
                "It is a file, or not yours to write.",
                "Choose another folder: --record DIR.",
            ) from error
        self._next = max(known, default=0) + 1

    def keep(self, request: Request, actions: npt.NDArray[np.float64]) -> None:
        """Write one answer, whole or not at all. A full disk is said once and ends nothing."""
        try:
            if shutil.disk_usage(self._folder).free < self._spare_bytes:
                self._stop(f"the disk has less than {self._spare_bytes >> 20} MB left")
                return
            content = {"values": dict(request.values), "prompt": request.task, "actions": actions}
            if request.noise is not None:
                content["noise"] = request.noise
            partial = self._folder / f".{self._next}"
            partial.write_bytes(pack(content))
            partial.replace(self._folder / f"{self._next:08d}{_SUFFIX}")
        except OSError as error:
            self._stop(str(error))
            return
        self._full = False
        self._next += 1

    def _stop(self, why: str) -> None:
        if not self._full:
            log.error("answers are not recorded: %s", why)
        self._full = True


def read_recording(folder: Path) -> Iterator[Kept]:
    """The recorded answers in their order. Raises DatasetError for a file that is none."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            content = unpack(path.read_bytes())
            yield Kept(
                content["values"], content["prompt"], content.get("noise"), content["actions"]
            )
        except (OSError, KeyError, WireError) as error:
            raise DatasetError(
                f"{path} cannot be read: {error}.",
                "It was cut short while it was copied, or is another program's.",
                "Leave it out, or copy it again.",
            ) from error
