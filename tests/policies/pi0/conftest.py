"""Golden vectors of the original Pi0, and a tokenizer small enough for tiny models."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / "data/pi0-golden"
VIEWS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")


def vectors(name: str) -> dict[str, np.ndarray]:
    """The recorded inputs and outputs of one golden checkpoint."""
    with np.load(GOLDEN / name / "vectors.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model like PaliGemma's (ids of the marks, no leading blank), 200 words."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("tokenizer")
    text = folder / "words.txt"
    words = "put the block into the bowl Task State Action pick up close open gripper"
    numbers = " ".join(map(str, range(256)))
    text.write_text(f"{words}: , ;\n{numbers}\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=200,
        model_type="bpe",
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=["\n"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder / "tokenizer.model"
