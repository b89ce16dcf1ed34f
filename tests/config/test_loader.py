"""Configuration files: layers, ranges, and errors that name file, key, range and unit."""

import json
import math
from pathlib import Path

import pytest
import yaml

from config.joints import ARM_JOINTS, MODEL_RANGE_DEG, joint_names
from config.loader import load, profile_names
from config.ranges import range_of, unit_of
from robotd.errors import ConfigError
from sim.model.scene import SceneOptions, build
from sim.plant.calibration import plant_calibration

ARM = "arms: {arm: {port: /dev/ttyX, id: mine}}\n"


@pytest.fixture(autouse=True)
def own_config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    folder = tmp_path / "xdg" / "robotd"
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, text: str, name: str = "robotd.yaml") -> Path:
    path = folder / name
    path.write_text("extends: so101\n" + text)
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file=path)
    return caught.value


def test_nothing_configured_is_an_error_that_says_what_to_do_and_never_falls_back_to_sim() -> None:
    with pytest.raises(ConfigError, match="No robot is configured; nothing was opened") as caught:
        load()
    assert "robotd start --sim" in caught.value.do
    assert caught.value.exit_code != 0


def test_sim_with_nothing_configured_is_the_shipped_simulated_arm() -> None:
    config = load(simulated=True).config
    assert config.name == "sim"
    assert config.simulation is not None
    assert set(config.cameras) == {"overhead", "wrist"}
    assert config.control.tick_hz % config.recording.fps == 0


def test_a_persons_file_changes_single_keys_and_keeps_the_rest(own_config_home: Path) -> None:
    write(own_config_home, ARM + "limits: {step_deg: 12}\n")
    config = load().config
    assert config.limits.step_deg == 12
    assert config.limits.squeeze_deg == 5
    assert config.arms["arm"].id == "mine"
    assert config.simulation is None


def test_every_shipped_profile_that_is_a_whole_robot_loads() -> None:
    assert {"so101-sim", "so101-bimanual-sim"} <= set(profile_names())
    for name in ("so101-sim", "so101-bimanual-sim"):
        config = load(file=name).config
        assert len(joint_names(config)) == 6 * len(config.arms)


def test_two_arms_get_lerobots_prefixes_left_first_however_the_file_has_them(
    own_config_home: Path,
) -> None:
    path = write(
        own_config_home,
        "arms: {right: {port: /dev/b, id: r}, left: {port: /dev/a, id: l}}\n",
    )
    names = joint_names(load(file=path).config)
    assert names[0] == "left_shoulder_pan"
    assert names[6] == "right_shoulder_pan"


def test_an_unknown_key_names_the_nearest_one_and_the_file(own_config_home: Path) -> None:
    error = refused(write(own_config_home, ARM + "control: {tick_rate_hz: 120}\n"))
    assert "robotd.yaml" in error.what
    assert "tick_rate_hz" in error.what
    assert "tick_hz" in error.do


@pytest.mark.parametrize(
    ("text", "key", "limit", "unit"),
    [
        ("control: {read_deadline_ms: 50}", "control.read_deadline_ms", "20", "ms"),
        ("limits: {release_speed_rad_s: 3}", "limits.release_speed_rad_s", "0.5", "rad/s"),
        ("cameras: {top: {device: x, width: 4}}", "cameras.top.width", "16", "pixels"),
        ("limits: {speed_deg_s: [1, 2]}", "limits.speed_deg_s", "6", "deg/s"),
        ("control: {tick_hz: fast}", "control.tick_hz", "at least 20, at most 500", "Hz"),
    ],
)
def test_a_value_out_of_range_names_key_limit_and_unit(
    own_config_home: Path, text: str, key: str, limit: str, unit: str
) -> None:
    error = refused(write(own_config_home, ARM + text + "\n"))
    assert key in error.what
    assert limit in error.likely
    assert unit in error.what + error.likely


def test_a_key_that_is_a_word_or_a_number_names_both(own_config_home: Path) -> None:
    path = write(own_config_home, ARM + "control: {cpu: last}\n")
    with pytest.raises(ConfigError, match=r"control\.cpu is 'last'") as caught:
        load(file=path)
    assert "auto or none, or at least 0, at most 1023" in caught.value.likely


def test_the_whole_range_of_a_key_can_be_said() -> None:
    assert range_of("control.read_deadline_ms") == "above 0.5, at most 20"
    assert range_of("cameras.top.width") == "at least 16, at most 3840"
    assert "6 values" in range_of("limits.torque_limit_permille")
    assert range_of("name") == ""


def test_a_tick_rate_that_is_no_multiple_of_fps_says_which_rates_fit(
    own_config_home: Path,
) -> None:
    error = refused(write(own_config_home, ARM + "control: {tick_hz: 100}\n"))
    assert "90, 120" in error.do


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("arms: {}", "no arm"),
        ("arms: {a: {port: x, id: a}, b: {port: y, id: b}}", "left and right"),
        ("arms: {left: {port: x, id: a}, right: {port: x, id: b}}", "used twice"),
        ("arms: {arm: {port: x}}", "arms.arm.id is missing"),
        (ARM + "cameras: {a: {device: x, fps: 10}}", "below recording.fps"),
        (ARM + "cameras: {a: {device: x, width: 641}}", "641x480"),
        (ARM + "cameras: {a b: {device: x}}", "cannot be called"),
        (ARM + "limits: {derate_from_c: 70}", "not below"),
        (ARM + "control: {read_deadline_ms: .nan}", "is nan"),
        (
            ARM + "twin: {obstacles: {mug: {shape: cylinder, foot_m: [0.2, 0, 0], "
            "size_m: [0.08, 0.09, 0.1]}}}",
            "mug is 0.08 m wide and 0.09 m deep",
        ),
        (ARM + "name: ../x", "name is"),
        (ARM + "control: {tick_hz: 120, tick_hz: 60}", "stands twice"),
        ("a: b: c", "not valid YAML"),
    ],
)
def test_what_does_not_make_a_robot_is_refused_in_words(
    own_config_home: Path, text: str, word: str
) -> None:
    assert word in refused(write(own_config_home, text + "\n")).what


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("list.yaml", "binary.yaml", "missing.yaml"):
        refused(tmp_path / name)


def test_several_robots_are_asked_about_instead_of_guessed(own_config_home: Path) -> None:
    write(own_config_home, ARM, "left_bench.yaml")
    write(own_config_home, ARM, "right_bench.yaml")
    with pytest.raises(ConfigError, match=r"left_bench, right_bench"):
        load()
    assert load("left_bench").file == own_config_home / "left_bench.yaml"


def test_a_rehearsal_of_a_real_robot_has_no_port_of_it(own_config_home: Path) -> None:
    path = write(own_config_home, ARM + "name: bench\ncameras: {wrist: {device: /dev/video0}}\n")
    config = load(file=path, simulated=True).config
    assert config.name == "bench-sim"
    assert {arm.port for arm in config.arms.values()} == {"plant"}
    assert config.cameras["wrist"].device == "plant"
    assert config.simulation is not None


def test_a_name_that_means_no_file_opens_no_other_robots_port(own_config_home: Path) -> None:
    write(own_config_home, ARM + "name: bench\n")
    with pytest.raises(ConfigError, match="No robot called bnech") as caught:
        load("bnech")
    assert "bench is near" in caught.value.likely
    assert "robotd start --name bench" in caught.value.do
    assert load("bench").config.name == "bench"  # by the name in the file
    assert load("robotd").config.arms["arm"].port == "/dev/ttyX"  # by the file's name


def test_a_name_that_two_files_give_their_robot_is_asked_about(own_config_home: Path) -> None:
    write(own_config_home, ARM + "name: bench\n", "a.yaml")
    write(own_config_home, ARM + "name: bench\n", "b.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml, .*b\.yaml"):
        load("bench")


@pytest.mark.parametrize("name", ["bench2", "robotd", "other"])
def test_a_rehearsal_never_has_the_real_robots_name(own_config_home: Path, name: str) -> None:
    write(own_config_home, ARM, "bench2.yaml")
    write(own_config_home, ARM + "name: other\n")
    config = load(name, simulated=True).config
    assert config.name == f"{name}-sim"
    assert config.arms["arm"].port == "plant"
    path = own_config_home / "bench2.yaml"
    assert load("mine", path, simulated=True).config.name == "mine-sim"


def test_a_rehearsal_has_the_simulated_body_and_the_persons_limits(own_config_home: Path) -> None:
    sim = load(file="so101-sim").config
    write(
        own_config_home,
        "arms: {arm: {port: /dev/x, id: mine, joint_offset_deg: [5, 0, 0, 0, 0, 0]}}\n"
        "cameras: {front: {device: /dev/v0}, hand: {device: /dev/v1}, wrist: {device: /dev/v2}}\n"
        "poses: {move_speed_deg_s: 10}\n",
        "bench.yaml",
    )
    loaded = load("bench", simulated=True)
    arm = loaded.config.arms["arm"]
    assert arm.joint_offset_deg == sim.arms["arm"].joint_offset_deg
    assert arm.id == sim.arms["arm"].id
    assert arm.leader is None
    cameras = loaded.config.cameras
    assert {name: camera.view for name, camera in cameras.items()} == {
        "front": "overhead",
        "hand": "wrist",
        "wrist": "wrist",
    }
    assert {(c.width, c.height) for c in cameras.values()} == {(320, 240)}
    assert all(c.fps >= loaded.config.recording.fps for c in cameras.values())
    assert loaded.config.poses.move_speed_deg_s == 10
    said = "; ".join(loaded.notes)
    assert "cameras.front shows the simulated overhead view" in said
    assert "320x240" in said


def test_a_rehearsal_meets_what_stands_around_both_robots(own_config_home: Path) -> None:
    write(
        own_config_home,
        ARM
        + "twin: {obstacles: {foot: {shape: box, foot_m: [0.3, 0, 0], size_m: [0.1, 0.1, 1]}}}\n",
        "bench.yaml",
    )
    assert set(load("bench", simulated=True).config.twin.obstacles) == {"bowl", "foot"}


def test_a_rehearsal_of_a_weaker_kit_has_its_servos(own_config_home: Path) -> None:
    write(own_config_home, "arms: {arm: {port: /dev/x, id: mine, supply: 5V}}\n", "bench.yaml")
    simulation = load("bench", simulated=True).config.simulation
    assert simulation is not None and simulation.supply == "5V"


def test_a_rehearsal_of_two_arms_stands_where_the_simulated_ones_do(own_config_home: Path) -> None:
    sim = load(file="so101-bimanual-sim").config
    write(
        own_config_home,
        "name: pair\narms: {left: {port: /dev/a, id: l}, right: {port: /dev/b, id: r}}\n"
        "cameras: {cam_right_wrist: {device: /dev/v}}\n",
    )
    loaded = load("pair", simulated=True)
    assert loaded.config.arms["left"].base_xyz_m == sim.arms["left"].base_xyz_m
    assert loaded.config.cameras["cam_right_wrist"].view == "right_wrist"
    assert any("stands where the simulated one does" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("limits: {speed_deg_s: [120, -120, 120, 180, 180, 180]}", "speed_deg_s", "at most 270"),
        ("limits: {speed_deg_s: [120, 120, 120, 180, 180, 1.0e+9]}", "speed_deg_s", "at most 270"),
        ("limits: {speed_deg_s: [120, 120, 120, 180, 180, .nan]}", "speed_deg_s", "at most 270"),
        ("limits: {acceleration_deg_s2: [0, 600, 600, 900, 900, 900]}", "acceleration", "10"),
        ("limits: {step_deg: 100000}", "step_deg", "at most 90"),
        ("limits: {range_margin_deg: 170}", "range_margin_deg", "at most 20"),
        ("limits: {squeeze_deg: .inf}", "squeeze_deg", "at most 45"),
        ("limits: {workspace_max_m: [9, 0.48, 0.6]}", "workspace_max_m", "at most 2"),
        ("poses: {home_deg: [0, -60, 45, 65, 0, 150]}", "gripper at 150", "-10 to 100"),
        ("poses: {rest_deg: [0, -101, 92, 37, 0, 0]}", "shoulder_lift at -101", "-100 to 100"),
        ("poses: {via_deg: [0, 0, 0, 0, 999, 0]}", "via_deg", "at most 180"),
        ("control: {idle_release_s: -1}", "idle_release_s", "at least 0"),
        ("policy: {device: ''}", "policy.device", "not empty"),
        ("arms: {arm: {port: ''}}", "arms.arm.port", "not empty"),
        ("arms: {arm: {joint_offset_deg: [0, 0, 0, 0, 0, 400]}}", "joint_offset_deg", "180"),
    ],
)
def test_a_limit_that_would_not_limit_is_refused_with_what_is_allowed(
    own_config_home: Path, text: str, key: str, allowed: str
) -> None:
    base = "arms: {arm: {port: /dev/x, id: mine}}\n"
    text = text if text.startswith("arms") else base + text
    text = text.replace("arm: {port: ''}", "arm: {port: '', id: a}")
    text = text.replace("arm: {joint", "arm: {port: x, id: a, joint")
    error = refused(write(own_config_home, text + "\n"))
    assert key in error.what
    assert allowed in error.likely
    assert error.do


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("arms: {1: {port: x, id: a}}", "the key 1, which is no name"),
        ("arms: {on: {port: x, id: a}}", "the key True"),
        ("x: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_yaml_reads_as_something_else_is_refused_in_words(
    own_config_home: Path, text: str, word: str
) -> None:
    assert word in refused(write(own_config_home, text + "\n")).what


def test_the_models_ranges_are_those_of_the_mjcf() -> None:
    model = build(SceneOptions(use="plant"))
    for joint, (low, high) in zip(ARM_JOINTS, MODEL_RANGE_DEG, strict=True):
        found = [math.degrees(end) for end in model.joint(joint).range]
        assert found == pytest.approx([low, high], abs=0.01)


def test_a_given_name_replaces_the_configured_one_and_is_checked() -> None:
    assert load("rehearsal", simulated=True).config.name == "rehearsal"
    with pytest.raises(ConfigError):
        load("../../etc", simulated=True)


def test_every_default_has_its_reason_beside_it() -> None:
    text = (Path(__file__).parents[2] / "config" / "defaults.yaml").read_text()
    section = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            section = line.split(":")[0]
        if line.startswith("  ") and ":" in line and not line.strip().startswith("#"):
            assert "#" in line, f"{section}.{line.strip()} has no reason"
    defaults = yaml.safe_load(text)
    assert unit_of("tick_hz") == "Hz"
    assert set(defaults) >= {"control", "limits", "poses", "twin", "policy", "recording"}


@pytest.mark.parametrize(
    ("folder", "name", "arm"),
    [
        ("robots/so_follower", "sim", "follower"),
        ("robots/so_follower", "sim_left", "left_follower"),
        ("robots/so_follower", "sim_right", "right_follower"),
        ("teleoperators/so_leader", "sim_leader", "leader"),
        ("teleoperators/so_leader", "sim_left_leader", "left_leader"),
        ("teleoperators/so_leader", "sim_right_leader", "right_leader"),
    ],
)
def test_the_shipped_calibrations_are_those_of_the_virtual_servos(
    folder: str, name: str, arm: str
) -> None:
    root = Path(__file__).parents[2] / "config" / "calibration"
    assert json.loads((root / folder / f"{name}.json").read_text()) == plant_calibration(arm)
