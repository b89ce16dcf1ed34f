"""Failures that nobody foresaw, said to a person: in three parts, with the traceback in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robotd.errors import DatasetError, RobotdError

log = logging.getLogger(__name__)


@contextmanager
def explained(what: str, folder: Path) -> Iterator[None]:
    """Any error inside that is no RobotdError leaves as a DatasetError: "`what`: …".

    `folder` is where the files are that it is about. What the parquet, video and file libraries
    raise on damaged files is open-ended; one of them must not end the recorder, which would meet
    the same files again when it is started again.
    """
    try:
        yield
    except RobotdError:
        raise
    except Exception as error:
        log.exception("%s", what)
        raise DatasetError(
            f"{what}: {type(error).__name__}: {error}.",
            f"A file in {folder} is damaged, or robotd has a defect; the log has the details.",
            "Look: robotd logs recorder. What was kept stays listed: robotd dataset recover.",
        ) from error
