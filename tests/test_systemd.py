"""The unit is accepted by systemd's own verifier and says what the safety page relies on."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd" / "robotd@.service"


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(UNIT.read_text())
    return parser["Service"]


def test_a_stop_gives_the_arm_time_and_asks_the_supervisor_alone() -> None:
    service = _service()
    assert service["KillMode"] == "process"
    assert int(service["TimeoutStopSec"]) >= 60
    assert service["Type"] == "notify"
    assert service["OOMPolicy"] == "continue"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemds_own_verifier_accepts_the_unit(tmp_path: Path) -> None:
    # The verifier wants the program to exist; where it is installed is the person's choice.
    unit = tmp_path / "robotd@bench.service"
    unit.write_text(UNIT.read_text().replace("%h/.local/bin/robotd", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "robotd@bench.service" not in done.stderr
