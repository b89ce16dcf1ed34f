"""What surrounds the network: bars, epsilons, prompts and tokenizers, each as its framework has it."""

from pathlib import Path

import numpy as np
import pytest

from policies.pi0.normalise import Normaliser, make_normaliser
from policies.pi0.pictures import PadMode, pixels
from policies.pi0.prompt import PromptStyle, bins, prompt_text, tokenise
from policies.pi0.tokenizer import PALIGEMMA_ROWS, SentencePieceTokenizer, find_tokenizer
from robotd.errors import CheckpointError


@pytest.mark.parametrize(
    ("mode", "top", "bottom"),
    [
        ("openpi", -1.0, -1.0),
        ("lerobot06", -1.0, -1.0),
        ("lerobot04", -3.0, -3.0),
        ("lerobot03", -1.0, 1.0),
    ],
)
def test_each_program_has_its_own_bars(mode: PadMode, top: float, bottom: float) -> None:
    """640x480 of white: 28 rows of bar above and below, or 56 above (LeRobot up to 0.3)."""
    seen = pixels(np.full((480, 640, 3), 255, np.uint8), 224, mode)
    assert seen.shape == (3, 224, 224) and seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, 0], top, atol=1e-6)
    np.testing.assert_allclose(seen[:, -1], bottom, atol=1e-6)
    np.testing.assert_allclose(seen[:, 100], 1.0, atol=1e-6)
    bars = int((np.abs(seen[0, :, 0] - 1.0) > 0.5).sum())
    assert bars == 56


@pytest.mark.timeout(900)  # LeRobot is imported: 13 s of work, minutes on a busy machine
def test_lerobots_pictures_are_lerobots() -> None:
    """The same bytes through LeRobot 0.6.1's own function."""
    import torch
    from lerobot.policies.common.vla_utils import resize_with_pad, resize_with_pad_torch

    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
    centred = resize_with_pad_torch(image, 28, 28)[0] * 2.0 - 1.0
    np.testing.assert_allclose(pixels(picture, 28, "lerobot06"), centred.numpy(), atol=1e-6)
    cornered = resize_with_pad(image, 28, 28, pad_value=0.0)[0] * 2.0 - 1.0
    np.testing.assert_allclose(pixels(picture, 28, "lerobot03"), cornered.numpy(), atol=1e-6)


def one(mode: str, formula: str, low: float, high: float) -> Normaliser:
    names = ("mean", "std") if mode == "MEAN_STD" else ("q01", "q99")
    stats = {name: np.array([value]) for name, value in zip(names, (low, high), strict=True)}
    eps = 1e-6 if formula == "openpi" else 1e-8
    return make_normaliser(stats, mode, formula, eps, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "formula", "low", "high", "x", "wanted"),
    [
        ("MEAN_STD", "openpi", 0.5, 0.25, 1.5, 3.999984000064),
        ("MEAN_STD", "lerobot", 0.5, 0.25, 1.5, 3.99999984),
        ("QUANTILES", "openpi", 0.0, 1.0, 0.5, -9.99999e-07),
        ("QUANTILES", "lerobot", 0.0, 1.0, 0.5, 0.0),
        ("QUANTILES", "openpi", 0.0, 0.0, 0.0, -1.0),  # filled up before it was normalised
        ("MEAN_STD", "openpi", 0.3, 0.0, 0.31, 0.0),  # a dead joint: not ten thousand
    ],
)
def test_every_framework_has_its_own_epsilon(
    mode: str, formula: str, low: float, high: float, x: float, wanted: float
) -> None:
    made = one(mode, formula, low, high)
    assert made.forward([x])[0] == pytest.approx(wanted, abs=1e-9)
    if high - (low if mode == "QUANTILES" else 0.0) > 1e-3:
        assert made.back(made.forward([x]))[0] == pytest.approx(x, abs=1e-7)


def test_dimensions_without_statistics_pass_through() -> None:
    made = one("MEAN_STD", "openpi", 1.0, 2.0)
    np.testing.assert_allclose(made.forward([1.0, 7.0]), [0.0, 7.0])
    np.testing.assert_allclose(made.back([0.0, 7.0]), [1.0, 7.0])


def test_a_state_is_written_in_bins_padded_or_not() -> None:
    assert bins([-1.0, -0.999, 0.0, 0.9999, 1.0, 2.0, -1.1]).tolist() == [
        0,
        0,
        128,
        255,
        255,
        255,
        -1,
    ]
    style = PromptStyle(length=200, state="plain", pi05=True, state_size=4)
    state = np.array([0.0, 1.0])
    assert prompt_text(" pick_up\n", style, state) == "Task: pick up, State: 128 255;\nAction: "
    padded = PromptStyle(length=200, state="padded", pi05=True, state_size=4)
    assert prompt_text("x", padded, state) == "Task: x, State: 128 255 128 128;\nAction: "
    nowhere = PromptStyle(length=200, state="none", pi05=True)
    assert prompt_text("x", nowhere, state) == "x\n"
    assert prompt_text("pick_up", PromptStyle(length=48, cleaned=False), None) == "pick_up\n"


def test_a_prompt_is_marked_filled_up_and_cut(tokenizer_file: Path) -> None:
    tokenizer = SentencePieceTokenizer(tokenizer_file)
    style = PromptStyle(length=48)
    prompt = tokenise(tokenizer, prompt_text("put the block", style, None), style)
    count = int(prompt.mask.sum())
    assert prompt.ids[0] == 2 and prompt.ids[count - 1] == tokenizer.encode("\n")[-1]
    assert not prompt.ids[count:].any() and prompt.cut == 0
    short = tokenise(tokenizer, "put the block\n", PromptStyle(length=3))
    assert short.mask.all() and short.cut == count - 3


def test_hugging_faces_file_is_read_too_and_marks_a_prompt_once(tmp_path: Path) -> None:
    """Its own post-processing adds <bos>, as PaliGemma's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 4, "pick": 5, "up": 6}
    file = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    file.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    file.post_processor = processors.TemplateProcessing("<bos> $A", None, [("<bos>", 2)])
    file.save(str(tmp_path / "tokenizer.json"))
    assert file.encode("pick up").ids == [2, 5, 6]
    found, path = find_tokenizer(tmp_path, "", 512)
    assert path.name == "tokenizer.json"
    prompt = tokenise(found, "pick up\n", PromptStyle(length=6))
    assert prompt.ids.tolist() == [2, 5, 6, 4, 0, 0]


def test_a_tokenizer_is_found_beside_the_checkpoint_or_named(
    tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OPENPI_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    with pytest.raises(CheckpointError) as missing:
        find_tokenizer(tmp_path, "", 512)
    for part in ("google/paligemma-3b-pt-224", "hf auth login", "--tokenizer"):
        assert part in str(missing.value)
    assert find_tokenizer(tmp_path, str(tokenizer_file.parent), 512)[1] == tokenizer_file
    (tmp_path / "tokenizer.model").write_bytes(tokenizer_file.read_bytes())
    assert find_tokenizer(tmp_path, "", 512)[1] == tmp_path / "tokenizer.model"
    with pytest.raises(CheckpointError, match="another model's tokenizer"):
        find_tokenizer(tmp_path, "", 50)


def test_what_a_tokenizer_file_keeps_of_its_saver_cuts_no_prompt(tmp_path: Path) -> None:
    """Truncation and padding are saved with it; a Pi0.5's state stands at the prompt's end."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 4, "pick": 5, "up": 6}
    file = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    file.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    file.enable_truncation(3)
    file.enable_padding(length=20)
    file.save(str(tmp_path / "tokenizer.json"))
    found, _ = find_tokenizer(tmp_path, "", 512)
    assert found.encode("pick up pick up pick") == [5, 6, 5, 6, 5]


def test_only_paligemmas_words_are_believed_where_the_model_has_them(
    tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handful of words fits any number of rows, and a folder of models has others' files."""
    with pytest.raises(CheckpointError, match="not PaliGemma's tokenizer"):
        find_tokenizer(tmp_path, str(tokenizer_file), PALIGEMMA_ROWS)
    from tokenizers import Tokenizer, models

    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3} | {f"w{i}": i for i in range(4, 108)}
    file = Tokenizer(models.WordLevel(words | {"\n": 108}, unk_token="<unk>"))
    file.save(str(tmp_path / "tokenizer.json"))
    assert find_tokenizer(tmp_path, "", PALIGEMMA_ROWS)[0].bos == 2
    for name in ("HF_HOME", "HF_HUB_CACHE", "OPENPI_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    (tmp_path / "pi0").mkdir()
    with pytest.raises(CheckpointError, match="no tokenizer for"):
        find_tokenizer(tmp_path / "pi0", "", PALIGEMMA_ROWS)  # the other's, beside the folder


@pytest.mark.parametrize(("height", "width"), [(480, 640), (720, 1280), (640, 480), (96, 96)])
def test_openpis_pictures_are_pils_bytes(height: int, width: int) -> None:
    """As `openpi_client.image_tools` makes them, which its clients and servers both call."""
    from openpi_client.image_tools import resize_with_pad

    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    picture.flags.writeable = False  # as it comes out of a camera's ring
    theirs = resize_with_pad(picture, 224, 224)
    wanted = theirs.astype(np.float32) * np.float32(2.0 / 255.0) - np.float32(1.0)
    np.testing.assert_array_equal(pixels(picture, 224, "openpi"), wanted.transpose(2, 0, 1))
