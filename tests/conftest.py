"""What all tests share: bytecode that is kept, how properties are searched, and which tests may run
beside each other.

A shared machine stands still for a second now and then, so no example has a time of its own. The
gate judges a change and not its luck: there the examples are the same in every run. Anywhere else
they are new ones each time.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Containers like to forbid bytecode. These tests start some hundred Python processes, and each of
# them would compile all that it imports again: numpy, MuJoCo and pyarrow, many also torch.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("search"), derandomize=True)
settings.load_profile("search")

_HERE = Path(__file__).parent

# Everything else starts a robot's processes, keeps real time, or judges what was done in it: such a
# test has the machine to itself. What is new does too, until it is named here.
_COMPUTE = (
    "config",
    "control",
    "dataset",
    "eval",
    "expert",
    "learning",
    "policies",
    "recording/test_dataset.py",
    "recording/test_lerobot.py",
    "recording/test_quality.py",
    "sim_model/test_meshes.py",
    "sim_model/test_tasks.py",
    "twin/test_drive.py",
    "twin/test_mirror.py",
    "twin/test_residual.py",
)
_BUT = (
    "control/test_stages.py",
    "eval/test_on_arm.py",
    "policies/pi0/test_policy.py",
    "policies/pi0/test_process.py",
    "policies/server",
    "policies/test_processes.py",
    "policies/test_pulling.py",
    "policies/test_remote.py",
    "policies/test_remote_pi0.py",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "computes: waits for nothing and shares no place; may run beside others like it"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_in(item.path, _COMPUTE) and not _is_in(item.path, _BUT):
            item.add_marker("computes")


def _is_in(path: Path, places: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(_HERE / place) for place in places)
