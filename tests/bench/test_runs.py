"""Each benchmark run small, through the command: what it prints is whole and agrees with itself.

Nothing here judges how fast anything is: this machine may be busy.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.page import section
from robotd.messages import INSTANCE_FILE

ROOT = Path(__file__).parents[2]
FIGURES = ("p50_us", "p99_us", "p999_us", "max_us")


def bench(
    folder: Path, *arguments: str, expected: int = 0, timeout_s: float = 170.0
) -> dict[str, Any]:
    """Run `robotd bench … --json` with a configuration folder of its own."""
    (folder / "run").mkdir(exist_ok=True)
    places = {
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "TMPDIR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli.main", "bench", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=ROOT,
        env={**os.environ, **places},
    )
    assert done.returncode == expected, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def consistent(figures: dict[str, Any]) -> None:
    values = [figures[name] for name in FIGURES]
    assert values == sorted(values)
    assert values[0] >= 0.0
    assert figures["samples"] > 0


def test_the_bare_loop_alone(tmp_path: Path) -> None:
    found = bench(tmp_path, "tick", "--bare", "--seconds", "1", "--hz", "250")
    bare = found["bare"]
    consistent(bare)
    assert (found["hz"], found["seconds"]) == (250, 1.0)
    # Every deadline of the slice was either met or is counted as missed.
    assert bare["samples"] + 1 + bare["missed"] in range(248, 252)


@pytest.mark.slow
def test_the_tick_under_load_is_measured_on_the_wire(tmp_path: Path) -> None:
    found = bench(tmp_path, "tick", "--seconds", "3", "--load", "encode")
    consistent(found)
    consistent(found["bare"])
    assert found["measured_by"] == "wire recorder"
    assert found["load"] == ["encode"]
    assert found["slices"] == 3
    # The sway changes the goal in every tick: what was not missed was written and stamped.
    assert 3 * 120 * 0.6 < found["samples"] <= 3 * 120
    assert found["unmatched"] <= found["samples"] // 50
    assert found["ratio_p99"] == pytest.approx(found["p99_us"] / found["bare"]["p99_us"], abs=1e-3)
    assert found["overhead_p50_us"] > 0.0
    assert found["wire_us"] == 1_580.0
    assert set(found["schedulers"]) == {"control", "bare", "wire_recorder", "line_workers"}
    assert not list(tmp_path.glob("robotd-bench-*")), "the benchmark left its folder behind"


@pytest.mark.slow
def test_an_arm_of_a_person_is_measured_by_control_and_only_with_consent(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "robotd"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "extends: so101-sim\nname: mine\ncameras: {overhead: null, wrist: null}\n"
    )
    refused = bench(tmp_path, "tick", "--robot", "mine", "--seconds", "3", expected=1)
    assert refused["error"] == "StateError"
    assert "--yes" in refused["do"]
    found = bench(tmp_path, "tick", "--robot", "mine", "--yes", "--seconds", "3")
    consistent(found)
    assert found["measured_by"] == "control"
    assert "overhead_p50_us" not in found
    assert set(found["schedulers"]) == {"control", "bare"}


@pytest.mark.slow
def test_lerobot_runs_on_the_same_wire(tmp_path: Path) -> None:
    pytest.importorskip("lerobot")
    found = bench(tmp_path, "tick", "--seconds", "2", "--against", "lerobot", timeout_s=175.0)
    consistent(found)
    default = found["lerobot"]["settings"]["default"]
    consistent(default)
    assert found["lerobot"]["p99_us"] == default["p99_us"]
    assert default["samples"] > 20
    assert found["ratio_lerobot_best"] == pytest.approx(
        default["p99_us"] / found["p99_us"], abs=1e-3
    )


@pytest.mark.slow
def test_the_own_bus_is_measured_on_both_wires_and_keeps_five_of_six(tmp_path: Path) -> None:
    found = bench(tmp_path, "bus", "--transactions", "20")
    for wire in ("1mbps", "zero"):
        figures = found["backends"]["own"][wire]
        consistent(figures["read_2_bytes"])
        consistent(figures["read_15_bytes"])
        assert figures["one_silent"]["values"] <= 5.0
    assert found["backends"]["own"]["1mbps"]["read_15_bytes"]["p50_us"] > 1_500
    four = found["four_buses"]
    assert four["together"]["p50_us"] < four["one_after_the_other"]["p50_us"]


def test_a_backend_that_is_not_installed_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench.bus_backends as backends
    from robotd.errors import ConfigError

    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="rustypot is not installed") as raised:
        backends.check_installed("rustypot")
    assert "rustypot==1.13.1" in raised.value.do


@pytest.mark.slow
def test_a_short_soak_looks_at_every_process_and_says_that_it_is_too_short(tmp_path: Path) -> None:
    found = bench(tmp_path, "soak", "--minutes", "0.2")
    assert {"supervisor", "control", "plant", "twin", "recorder"} <= set(found["processes"])
    for each in found["processes"].values():
        assert each["good"] is None
        assert each["descriptors"] > 0 or each["samples"] < 2
    assert found["good"] is None
    assert found["missed"] >= 0


def test_nothing_is_measured_beside_a_running_robot(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "robotd" / "other"
    folder.mkdir(parents=True)
    instance = {
        "name": "other",
        "pid": os.getpid(),
        "boot_id": "",
        "simulated": True,
        "joints": [],
        "cameras": [],
        "tick_hz": 120,
        "fps": 30,
    }
    (folder / INSTANCE_FILE).write_text(json.dumps(instance))
    # A robot is alive when its process is one of ours: stand in with one that has the name.
    holder = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60) # robotd"])
    try:
        (folder / INSTANCE_FILE).write_text(json.dumps(instance | {"pid": holder.pid}))
        refused = bench(tmp_path, "bus", expected=1)
    finally:
        holder.kill()
        holder.wait()
    assert refused["error"] == "DaemonError"
    assert "robotd stop --name other" in refused["do"]


def test_the_real_recorder_is_measured_and_what_it_recorded_is_whole(tmp_path: Path) -> None:
    found = bench(tmp_path, "record", "--seconds", "2")
    assert found["frames"] > 80
    assert (found["frames_shifted"], found["repeated_unsaid"]) == (0, 0)
    assert found["stopped_for_a_second"]["frames_shifted"] == 0
    assert 0.0 < found["cpu_s_per_camera_s"] < 5.0
    place, lines = section(found)
    assert place == "record"
    assert sum("| robotd |" in line for line in lines) == 1
