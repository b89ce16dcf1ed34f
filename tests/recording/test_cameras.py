"""Which camera is which: what a module says of itself, and what changed since the last episode."""

from pathlib import Path

import numpy as np
import pytest

from config.schema import Camera, Crop
from daemon.framing import framed, mode_size
from daemon.recorder.cameras import changes, check_cameras, declared, last_cameras
from daemon.recorder.dataset import publish
from daemon.recorder.schema import CameraSpec
from drivers.cameras.identity import usb_identity
from robotd.errors import DatasetError

from .episodes import make_spec, write_episode


def _module(serial: str, port: str, **more: str) -> dict[str, str]:
    return {"by_id": f"usb-cam_{serial}", "serial": serial, "usb_port": port} | more


def _pair(overhead: dict[str, str], wrist: dict[str, str]) -> tuple[CameraSpec, ...]:
    return (CameraSpec("overhead", 128, 96, overhead), CameraSpec("wrist", 128, 96, wrist))


A, B, C = _module("A", "1"), _module("B", "2"), _module("C", "3")
TWIN_1, TWIN_2 = _module("same", "1"), _module("same", "2")  # one serial number for all of a make


@pytest.mark.parametrize(
    ("before", "now", "serious", "word"),
    [
        (_pair(A, B), _pair(A, B), [], ""),
        (_pair(A, B), _pair(A, B | {"usb_port": "7"}), [], ""),  # another socket, same module
        (_pair(A, B), _pair(B, A), [True, True], "that was"),
        (
            _pair(A, B),
            _pair(B | {"usb_port": "1"}, A | {"usb_port": "2"}),
            [True, True],
            "that was",
        ),
        (_pair(TWIN_1, TWIN_2), _pair(TWIN_2, TWIN_1), [True, True], "that was"),
        (_pair(A, B), _pair(A, C), [False], "another module"),
        (_pair(A | {"fovy_deg": "58"}, B), _pair(A | {"fovy_deg": "52"}, B), [True], "view of 52"),
        (_pair(A, B), _pair(A | {"fovy_deg": "52"}, B), [], ""),  # said for the first time
        (_pair(A | {"crop": "none"}, B), _pair(A | {"crop": "8,8 of 640x480"}, B), [True], "crop"),
        (_pair(A | {"rotation_deg": "0"}, B), _pair(A | {"rotation_deg": "180"}, B), [True], "180"),
        (
            _pair({"view": "top", "pos_m": "0 0 1"}, {}),
            _pair({"view": "top", "pos_m": "0 0 2"}, {}),
            [False],
            "elsewhere",
        ),
        ((), _pair(A, B), [], ""),
    ],
)
def test_a_camera_that_is_not_as_it_was_is_named(
    before: tuple[CameraSpec, ...], now: tuple[CameraSpec, ...], serious: list[bool], word: str
) -> None:
    found = changes(before, now)
    assert [change.serious for change in found] == serious
    assert all(word in change.what for change in found)


def test_an_episode_with_another_field_of_view_is_refused_before_it_is_recorded(
    tmp_path: Path,
) -> None:
    root = tmp_path / "pick"
    spec = make_spec(root, cameras=_pair(A | {"fovy_deg": "58"}, B))
    publish(write_episode(tmp_path / "journals" / "one", spec, rows=6))
    assert last_cameras(root) == spec.cameras
    wider = _pair(A | {"fovy_deg": "52"}, B)
    with pytest.raises(DatasetError, match="58"):
        check_cameras(root, wider, "refuse")
    assert "58" in check_cameras(root, wider, "warn")[0]
    assert check_cameras(root, spec.cameras, "refuse") == ()
    assert check_cameras(tmp_path / "new", wider, "refuse") == ()


def test_a_usb_camera_is_known_by_name_serial_and_socket(tmp_path: Path) -> None:
    device = tmp_path / "dev" / "video4"
    module = tmp_path / "usb" / "1-3"
    interface = module / "1-3:1.0"
    for folder in (device.parent, interface, tmp_path / "id", tmp_path / "path"):
        folder.mkdir(parents=True)
    device.touch()
    for name, text in {"idVendor": "046d", "idProduct": "0825", "serial": "5CC2"}.items():
        (module / name).write_text(f"{text}\n")
    (tmp_path / "id" / "usb-Logi_5CC2-video-index0").symlink_to(device)
    (tmp_path / "path" / "pci-usb-0:3:1.0-video-index0").symlink_to(device)
    (tmp_path / "sys" / "video4").mkdir(parents=True)
    (tmp_path / "sys" / "video4" / "device").symlink_to(interface)
    found = usb_identity("Logi", tmp_path / "id", tmp_path / "path", tmp_path / "sys")
    assert found == {
        "by_id": "usb-Logi_5CC2",
        "usb_port": "pci-usb-0:3:1.0",
        "usb_id": "046d:0825",
        "serial": "5CC2",
    }


def test_a_picture_is_cut_out_then_turned_clockwise_and_has_the_size_that_the_profile_says() -> (
    None
):
    crop = Crop(left=3, top=1, of_width=40, of_height=30)
    camera = Camera(device="cam", width=16, height=20, rotation_deg=90, crop=crop)
    assert mode_size(camera) == (40, 30)
    captured = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    picture = framed(captured, camera)
    assert picture.shape == (20, 16, 3)
    assert (picture[0, -1] == captured[1, 3]).all()  # the upper left corner is now upper right
    turned = Camera(device="cam", width=480, height=640, rotation_deg=270)
    assert mode_size(turned) == (640, 480)
    assert declared(camera)["crop"] == "3,1 of 40x30"
