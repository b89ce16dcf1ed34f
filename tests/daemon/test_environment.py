"""`robotd doctor env`: what each state of a machine is judged to be, and that probing is safe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.cli import doctor_env
from daemon.environment import survey as surveying
from daemon.environment.accelerators import judge_driver, judge_jax, judge_torch, runs_on
from daemon.environment.facts import Gl, Gpu, Hub, Jax, Lost, Pins, Room, Stdio, Torch, Video
from daemon.environment.finding import Finding
from daemon.environment.judge import judge
from daemon.environment.surroundings import (
    judge_gl,
    judge_hub,
    judge_pins,
    judge_room,
    judge_stdio,
    judge_video,
)
from daemon.environment.survey import Survey, ask_child, survey
from robotd import paths

GPU = Gpu(devices=1, names=("NVIDIA GeForce RTX 4090",), driver="560.35.03")
NO_GPU = Gpu()
TORCH = Torch(
    version="2.11.0+cu128",
    cuda="12.8",
    available=True,
    built=("sm_80", "sm_86", "sm_90", "compute_90"),
    capabilities=((8, 9),),
)
JAX = Jax(version="0.7.2", numpy="2.2.6", needs_numpy="numpy>=2.0", backend="gpu", devices=1)
WELL = Survey(
    stdio=Stdio(stdout="utf-8", stderr="utf-8", filesystem="utf-8"),
    gpu=GPU,
    torch=TORCH,
    jax=JAX,
    gl=(Gl(backend="egl", renderer="NVIDIA GeForce RTX 4090/PCIe/SSE2"),),
    gl_wanted="",
    egl_device="",
    video=Video(torchcodec="0.11.1", av="15.1.0"),
    pins=Pins(lock="/r/uv.lock"),
    room=Room(
        folder="/c",
        filesystem="ext4",
        free_bytes=10**12,
        memory_bytes=64 * 10**9,
        memory_free_bytes=60 * 10**9,
    ),
    hub=Hub(client="1.33.0", token="HF_TOKEN"),
)


def test_a_well_machine_has_nothing_to_be_done() -> None:
    findings = judge(WELL)
    assert {each.level for each in findings} == {"ok"}
    assert len({each.name for each in findings}) == len(findings)


@pytest.mark.parametrize(
    ("gpu", "torch", "level", "says"),
    [
        (NO_GPU, Torch(), "ok", "on the CPU"),
        (Gpu(devices=1), TORCH, "error", "nvidia-smi is not there"),
        (
            Gpu(devices=1, error="Failed to initialize NVML: Driver/library version mismatch"),
            TORCH,
            "error",
            "Restart the machine",
        ),
        (msgspec.structs.replace(GPU, visible=""), TORCH, "warning", "unset CUDA_VISIBLE_DEVICES"),
        (msgspec.structs.replace(GPU, driver="470.1"), TORCH, "error", "too old"),
        (Lost(how="it did not come back within 90 s"), TORCH, "error", "dmesg"),
    ],
)
def test_the_driver(gpu: Gpu | Lost, torch: Torch, level: str, says: str) -> None:
    _is(judge_driver(gpu, torch), level, says)


@pytest.mark.parametrize(
    ("torch", "gpu", "level", "says"),
    [
        (Torch(), GPU, "warning", "--extra policy"),
        (Torch(version="2.11.0+cpu"), GPU, "error", "built without CUDA"),
        (msgspec.structs.replace(TORCH, tf32="1"), GPU, "warning", "NVIDIA_TF32_OVERRIDE=1"),
        (Torch(version="2.11.0+cpu"), NO_GPU, "ok", "on the CPU"),
        (
            msgspec.structs.replace(TORCH, available=False, error="driver is too old"),
            GPU,
            "error",
            "sees no GPU: driver is too old",
        ),
        (
            msgspec.structs.replace(TORCH, capabilities=((7, 0),)),
            GPU,
            "error",
            r"no code for this GPU \(sm_70",
        ),
        (Torch(version="2.11", error="OSError: libcudart.so.12"), GPU, "error", "be imported"),
        (Lost(how="it died of signal 11"), GPU, "error", "signal 11"),
    ],
)
def test_torch(torch: Torch | Lost, gpu: Gpu, level: str, says: str) -> None:
    _is(judge_torch(torch, gpu), level, says)


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        (("sm_80",), (8, 6), True),  # a later minor of the same major
        (("sm_86",), (8, 0), False),  # not an earlier one
        (("sm_80", "sm_90"), (12, 0), False),  # a 5090 with an older torch
        (("sm_90", "compute_90"), (12, 0), True),  # the driver compiles it
        (("sm_90a",), (9, 0), True),
        (("sm_90a",), (10, 0), False),
        (("sm_120",), (12, 0), True),
        ((), (9, 0), False),
    ],
)
def test_which_gpu_a_build_runs_on(
    built: tuple[str, ...], capability: tuple[int, int], runs: bool
) -> None:
    assert runs_on(built, capability) is runs


def test_jax_beside_a_gpu_but_on_the_cpu_is_not_silent() -> None:
    pair, device = judge_jax(msgspec.structs.replace(JAX, backend="cpu"), GPU)
    assert pair.level == "ok"
    _is(device, "warning", r"jax\[cuda12\]==0.7.2")
    assert judge_jax(msgspec.structs.replace(JAX, backend="cpu"), NO_GPU)[1].level == "ok"
    assert [each.level for each in judge_jax(Jax(), GPU)] == ["ok"]


def test_a_numpy_that_jax_cannot_use_comes_with_its_mend() -> None:
    old = msgspec.structs.replace(JAX, numpy="1.26.4", error="TypeError: copy")
    (finding,) = judge_jax(old, GPU)
    _is(finding, "error", re.escape("'jax>=0.5,<0.8' 'numpy>=2,<2.3'"))


@pytest.mark.parametrize(
    ("tried", "wanted", "device", "level", "says"),
    [
        ((Gl(backend="egl", renderer="llvmpipe (LLVM 15)"),), "", "", "ok", "in software"),
        ((Gl(backend="egl", error="x"), Gl(backend="osmesa")), "", "", "ok", "osmesa"),
        ((Gl(backend="egl", error="no libEGL"),), "", "", "error", "apt-get install libegl1"),
        ((Gl(backend="glfw", error="no display"),), "glfw", "", "error", "unset MUJOCO_GL"),
        ((Gl(backend="egl"),), "", "0,1", "error", "no device number"),
        (
            (Gl(backend="egl", error="RuntimeError: MUJOCO_EGL_DEVICE_ID must be 0 to 0"),),
            "",
            "3",
            "error",
            "EGL has no such device",
        ),
        ((Lost(how="it died of signal 6"),), "egl", "", "error", "signal 6"),
    ],
)
def test_drawing(
    tried: tuple[Gl | Lost, ...], wanted: str, device: str, level: str, says: str
) -> None:
    _is(judge_gl(tried, wanted, device), level, says)


@pytest.mark.parametrize(
    ("finding", "level", "says"),
    [
        (judge_video(Video(av="15.1.0")), "ok", "PyAV"),
        (
            judge_video(
                Video(av="15", torchcodec="0.11", torchcodec_error="RuntimeError: no FFmpeg")
            ),
            "warning",
            "video_backend=pyav",
        ),
        (judge_video(Video(av_error="x")), "error", "--reinstall-package av"),
        (
            judge_stdio(Stdio(stdout="cp1252", stderr="utf-8", filesystem="utf-8")),
            "error",
            "PYTHONUTF8=1",
        ),
        (judge_stdio(Stdio(stdout="UTF-8", stderr="utf8", filesystem="utf-8")), "ok", "UTF-8"),
        (
            judge_pins(Pins(lock="/r/uv.lock", differ=(("torch", "2.12", "2.11"),))),
            "warning",
            "UV_NO_SYNC=1",
        ),
        (
            judge_pins(Pins(lock="/r", differ=(("torch", "2.12", "2.11"),), no_sync=True)),
            "ok",
            "keeps it so",
        ),
        (
            judge_hub(Hub(client="1", variables={"HF_HUB_OFFLINE": "1"})),
            "warning",
            "unset HF_HUB_OFFLINE",
        ),
        (judge_hub(Hub(client="1", variables={"HF_HUB_OFFLINE": "0"})), "ok", "no token"),
        (judge_room(Room(folder="/c", free_bytes=10**9))[0], "warning", "too little for a Pi0"),
        (
            judge_room(Room(folder="/c", free_bytes=10**12, filesystem="overlay"))[0],
            "warning",
            "gone with the container",
        ),
        (
            judge_room(
                Room(
                    folder="/c", free_bytes=10**12, memory_bytes=8 * 10**9, memory_free_bytes=10**9
                )
            )[1],
            "warning",
            "serve-policy",
        ),
    ],
)
def test_surroundings(finding: Finding, level: str, says: str) -> None:
    _is(finding, level, says)


@pytest.mark.parametrize(
    ("body", "timeout_s", "says"),
    [
        ("exec sleep 600", 0.2, "did not come back"),
        ("kill -11 $$", 90.0, "signal 11"),
        ("exit 3", 90.0, "with 3"),
    ],
)
def test_a_probe_that_hangs_or_dies_is_said(
    body: str, timeout_s: float, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    lost = ask_child("stdio", timeout_s)
    assert isinstance(lost, Lost) and says in lost.how


def test_the_lost_and_the_nonsensical_are_findings_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    answers = {"torch": Lost(how="it died of signal 11"), "hub": b"{not json"}
    found = survey(lambda name: answers.get(name, b"null"))
    assert isinstance(found.torch, Lost) and isinstance(found.jax, Lost)
    levels = {each.name: each.level for each in judge(found)}
    assert levels["torch"] == levels["jax"] == levels["gl"] == "error"
    monkeypatch.setattr(doctor_env, "survey", lambda: found)
    assert doctor_env.run(as_json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["well"] and all(each["do"] for each in said["findings"])
    monkeypatch.setattr(doctor_env, "survey", lambda: WELL)
    assert doctor_env.run(as_json=False) == 0


def test_light_probes_answer_from_a_child_with_this_shells_encoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    answer = ask_child("stdio")
    assert isinstance(answer, bytes)
    found = msgspec.json.decode(answer, type=Stdio)
    assert found.stdout == "cp1252"
    assert judge_stdio(found).level == "error"
    for name, kind in (("room", Room), ("pins", Pins), ("gpu", Gpu)):
        answer = ask_child(name)
        assert isinstance(answer, bytes), answer
        msgspec.json.decode(answer, type=kind)


def test_the_command_itself_imports_neither_torch_nor_jax() -> None:
    """Where torch crashes on import, the doctor must still speak."""
    code = (
        "import sys; from daemon.cli import doctor_env; "
        "sys.exit(bool({'torch', 'jax', 'mujoco'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw\n/dev/sdb {tmp_path}/my\\040disk ext4 rw 0 0\n")
    (tmp_path / "my disk").mkdir()
    assert paths.filesystem_of(tmp_path / "my disk", mounts) == "ext4"
    assert paths.filesystem_of(tmp_path, mounts) == "overlay"
    assert paths.filesystem_of(tmp_path, tmp_path / "none") == ""


def test_survey_asks_every_probe_there_is() -> None:
    from daemon.environment.probes import PROBES

    asked: list[str] = []
    survey(lambda name: asked.append(name) or b"null")  # type: ignore[func-returns-value]
    assert set(PROBES) == {name for name in asked if ":" not in name}
    assert surveying.TIMEOUT_S > 30


def _is(finding: Finding, level: str, says: str) -> None:
    words = " ".join((finding.what, finding.likely, finding.do))
    assert finding.level == level and re.search(says, words), finding
    assert level == "ok" or (finding.likely and finding.do)
