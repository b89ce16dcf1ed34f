"""Files that would be written past `os`: Python's own and pyarrow's, made to go through it.

So that `bench.crashing.disk`, which stands in for `os`, sees every change.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow.parquet import core


class RawFile(io.FileIO):
    """A file of Python's own that writes with `os`; `closed` is told of its descriptor."""

    def __init__(self, path: Any, mode: str, closed: Callable[[int], None]) -> None:
        self._closed = closed
        super().__init__(path, mode, opener=lambda name, flags: os.open(name, flags, 0o666))

    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        wanted = self.tell() if size is None else size
        os.ftruncate(self.fileno(), wanted)
        return wanted

    def close(self) -> None:
        if not self.closed:
            self._closed(self.fileno())
        super().close()


class ParquetWriter(core.ParquetWriter):  # type: ignore[misc]
    """pyarrow's, which writes past Python where it is given a path, given a file instead."""

    def __init__(self, where: Any, schema: Any, **options: Any) -> None:
        self._file = None if hasattr(where, "write") else Path(where).open("wb")  # noqa: SIM115  closed with it
        super().__init__(self._file or where, schema, **options)

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()
