"""A sentencepiece model like PaliGemma's, small enough for tiny models."""

from pathlib import Path


def train_tokenizer(folder: Path) -> Path:
    """PaliGemma's ids for the marks, no leading blank, a line break as a word; 200 words."""
    import sentencepiece

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
