"""Errors for the person at the robot: what happened, the likely cause, what to do now.

One type for each thing a caller can react to. The three sentences are kept apart so that the CLI,
the TUI and `--json` can each show them in their own way.
"""

from typing import ClassVar


class RobotdError(Exception):
    """An error a person reads. `str()` is the three sentences, one a line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, likely: str, do: str) -> None:
        self.what = what
        self.likely = likely
        self.do = do
        super().__init__(what, likely, do)

    def __str__(self) -> str:
        return f"{self.what}\n  likely: {self.likely}\n  do:     {self.do}"


class ConfigError(RobotdError):
    """A configuration file or setting that cannot be used."""

    exit_code = 2


class BusError(RobotdError):
    """The servo bus did not do what was asked."""


class PortInUseError(BusError):
    """Another process owns the serial device."""


class CalibrationError(RobotdError):
    """No calibration, or one that does not belong to this arm."""


class CameraError(RobotdError):
    """A camera that is absent, refused its settings or stopped delivering."""


class ModelError(RobotdError):
    """The MuJoCo model or a GL backend to draw it with cannot be had."""


class DatasetError(RobotdError):
    """A dataset that cannot be read, or cannot take what was recorded."""


class DiskFullError(DatasetError):
    """Too little room to record safely."""


class EncoderError(DatasetError):
    """A video encoder that failed while it recorded."""


class CheckpointError(RobotdError):
    """A policy checkpoint that cannot be loaded or does not fit this robot."""


class PolicyServerError(CheckpointError):
    """The machine that computes a policy is away, too slow, or refuses."""


class StateError(RobotdError):
    """A request that the present state does not allow."""


class DaemonError(RobotdError):
    """No daemon answered, or it failed to start."""
