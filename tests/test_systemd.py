"""The units are accepted by systemd's own verifier and say what the safety page relies on."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from config.loader import load
from robotd.uploading import requests_file

UNITS = Path(__file__).parents[1] / "systemd"


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((UNITS / name).read_text())
    return parser


UPLOADS, UPLOADS_PATH = _unit("robotd-uploads.service"), _unit("robotd-uploads.path")
ROBOTD, GUARD = _unit("robotd@.service"), _unit("robotd-guard@.service")


def test_a_stop_gives_the_arm_time_and_asks_the_supervisor_alone() -> None:
    service = ROBOTD["Service"]
    assert service["KillMode"] == "process"
    assert int(service["TimeoutStopSec"]) >= 60
    assert service["Type"] == "notify"
    assert service["OOMPolicy"] == "continue"


def test_a_stop_of_robotd_ends_the_guard_last_and_a_crash_does_not_end_it() -> None:
    unit = GUARD["Unit"]
    assert ROBOTD["Unit"]["Wants"] == "robotd-guard@%i.service"
    # Stopping goes the other way round than starting: before it up, after it down.
    assert unit["Before"] == unit["PartOf"] == "robotd@%i.service"
    assert "BindsTo" not in unit
    assert "Requires" not in unit
    assert GUARD["Service"]["Restart"] == "always"


def test_the_guard_may_outlast_a_control_whose_supervisor_is_gone_and_a_release() -> None:
    control = load(file="so101-sim").config.control
    least_s = control.supervisor_gone_hold_s + control.guard_hold_s + 60 + 60  # park, release
    assert int(GUARD["Service"]["TimeoutStopSec"]) >= least_s


def test_the_guard_is_faster_than_systemds_watchdog_and_may_run_above_control() -> None:
    control = load(file="so101-sim").config.control
    assert 2 * control.guard_silent_s < int(ROBOTD["Service"]["WatchdogSec"])
    allowed = int(GUARD["Service"]["LimitRTPRIO"])
    assert allowed > int(ROBOTD["Service"]["LimitRTPRIO"]) > control.realtime_priority


def test_an_uploader_that_fails_is_started_again_and_one_that_is_done_is_not() -> None:
    service = UPLOADS["Service"]
    assert service["Restart"] == "on-failure"
    assert service["ExecStart"].endswith("robotd upload work")
    assert int(service["OOMScoreAdjust"]) > 0
    home = str(Path.home())
    watched = UPLOADS_PATH["Path"]["PathChanged"].replace("%h", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_STATE_HOME", raising=False)
        assert watched == str(requests_file())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemds_own_verifier_accepts_the_units(tmp_path: Path) -> None:
    # The verifier wants the program to exist; where it is installed is the person's choice.
    names = [f"{name}@bench.service" for name in ("robotd", "robotd-guard")]
    names += ["robotd-uploads.service", "robotd-uploads.path"]
    for name in names:
        text = (UNITS / name.replace("@bench", "@")).read_text()
        (tmp_path / name).write_text(text.replace("%h/.local/bin/robotd", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert not [name for name in names if name in done.stderr], done.stderr
