"""What is evaluated: checkpoints in their order, every way of playing them, the same episodes for all."""

from pathlib import Path

import pytest

from learning.evaluation.variants import (
    cases,
    find_checkpoints,
    grid_cells,
    parse_grid,
    variants,
)
from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load
from sim.tasks.spec import load_task


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_lerobot_run_is_swept_by_step_and_last_is_no_other_checkpoint(tmp_path: Path) -> None:
    for step in ("010000", "002000", "040000"):
        checkpoint(tmp_path / "checkpoints" / step / "pretrained_model")
    (tmp_path / "checkpoints" / "last").symlink_to("040000")
    found = find_checkpoints(tmp_path)
    assert [step for step, _ in found] == [2000, 10000, 40000]
    assert all(path.name == "pretrained_model" for _, path in found)


def test_other_layouts_are_known_and_what_names_no_step_comes_last(tmp_path: Path) -> None:
    checkpoint(tmp_path / "checkpoint_9000")
    checkpoint(tmp_path / "checkpoint_12000")
    checkpoint(tmp_path / "final")
    (tmp_path / "logs").mkdir()
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "params").mkdir()  # openpi's JAX
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    found = find_checkpoints(tmp_path)
    assert [step for step, _ in found] == [7, 9000, 12000, None, None]
    assert {path for _, path in found[-2:]} == {tmp_path / "final", tmp_path}


def test_a_folder_without_a_checkpoint_is_an_answer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint") as caught:
        find_checkpoints(tmp_path)
    assert caught.value.do


def test_a_sweep_is_a_product_and_names_say_only_what_differs() -> None:
    base = Load(path="", task="t", fps=15)
    found = variants(
        [(1000, "/a"), (2000, "/b")],
        base,
        {"n_action_steps": [10, 20], "ensemble": ["", "newest:0.01"], "gripper_bias": [0.0]},
    )
    assert len(found) == 8
    assert found[0].name == "step 1000, n action steps 10, ensemble none"
    assert found[-1].name == "step 2000, n action steps 20, ensemble newest:0.01"
    load = found[-1].load
    assert load is not None and (load.path, load.n_action_steps, load.fps) == ("/b", 20, 15)
    assert len({each.name for each in found}) == 8
    (only,) = variants([(None, "/x/pretrained_model")], base, {"n_action_steps": [None]})
    assert only.name == "x"


def test_every_variant_and_every_cell_gets_the_same_seeds() -> None:
    cells = grid_cells(load_task("block_in_bowl"), (5, 5), 0.08)
    assert len(cells) == 25
    xs = sorted({round(cell.x_m, 6) for cell in cells})
    assert xs[0] == pytest.approx(0.217 - 0.08) and xs[-1] == pytest.approx(0.217 + 0.08)
    played = cases(2, 100, 50, cells)
    assert len(played) == 2 * 25 * 2
    for variant in (0, 1):
        for cell in cells:
            own = [each.seed for each in played if (each.variant, each.cell) == (variant, cell)]
            assert own == [100, 101]
    assert len({each.key for each in played}) == len(played)
    assert [each.seed for each in cases(1, 0, 50)] == list(range(50))
    assert len(cases(1, 0, 3, cells)) == 25  # at least one each


@pytest.mark.parametrize("text", ["5", "0x5", "5x", "x", "99x99", "-1x2"])
def test_what_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(StateError, match="grid"):
        parse_grid(text)
    assert parse_grid("5x4") == (5, 4)
