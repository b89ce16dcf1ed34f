"""PaliGemma's tokenizer: found where it may already be, or asked for. Needs no network.

Two files can be it: sentencepiece's `tokenizer.model` (openpi downloads it as
`paligemma_tokenizer.model`) and Hugging Face's `tokenizer.json`. Checkpoints rarely carry either, and
the repository that has them is gated, so a missing one is the most common way for a Pi0 not to start.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from policies.extra import extra_missing
from policies.pi0.prompt import Tokenizer
from robotd import paths
from robotd.errors import CheckpointError

REPOSITORY = "google/paligemma-3b-pt-224"
PALIGEMMA_ROWS = 257_152
"""Embeddings of PaliGemma's vocabulary; padded ones have 64 more."""
_BOS, _LINE_BREAK = 2, 108  # PaliGemma's ids of the two words that every prompt has
_FILES = ("tokenizer.json", "tokenizer.model", "paligemma_tokenizer.model")


class SentencePieceTokenizer:
    """A sentencepiece `.model`."""

    def __init__(self, path: Path) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise extra_missing(error) from error
        try:
            self._model: Any = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise _unreadable(path, error) from error
        self.bos: int = self._model.bos_id()
        self.size: int = self._model.get_piece_size()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.encode(text)
        return ids


class HuggingFaceTokenizer:
    """A `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise extra_missing(error) from error
        try:
            self._model: Any = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise _unreadable(path, error) from error
        bos = self._model.token_to_id("<bos>")
        if bos is None:
            raise _unreadable(path, ValueError("it has no <bos>"))
        # What a file keeps of whoever saved it would cut a prompt without a word.
        self._model.no_truncation()
        self._model.no_padding()
        self.bos: int = bos
        self.size: int = self._model.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        return ids


def find_tokenizer(checkpoint: Path, asked: str, vocabulary: int) -> tuple[Tokenizer, Path]:
    """The tokenizer of a checkpoint and the file it was read from.

    `asked` is what a person said (a file or a folder; empty: look for it beside the checkpoint, in
    openpi's cache and in Hugging Face's). `vocabulary` is how many rows the embeddings have.
    Raises CheckpointError where there is none, or one that is not the model's: it has more words
    than the model, or where the model's are PaliGemma's, other ids for them.
    """
    path = _asked(asked) if asked else next(_candidates(checkpoint), None)
    if path is None:
        raise CheckpointError(
            f"There is no tokenizer for {checkpoint}.",
            "It was looked for beside the checkpoint and in the caches of openpi and Hugging Face. "
            f"A Pi0 reads its task through PaliGemma's, whose repository {REPOSITORY} is gated.",
            f"Accept the licence at https://huggingface.co/{REPOSITORY}, then: hf auth login && "
            f"hf download {REPOSITORY} tokenizer.json tokenizer.model. Or name a file: --tokenizer "
            "PATH (policy.tokenizer).",
        )
    tokenizer: Tokenizer = (
        HuggingFaceTokenizer(path) if path.suffix == ".json" else SentencePieceTokenizer(path)
    )
    # PaliGemma's own has 64 rows that no word uses; the other way round a word has no row.
    if tokenizer.size > vocabulary:
        raise CheckpointError(
            f"{path} has {tokenizer.size} words, the checkpoint's embeddings {vocabulary} rows.",
            "It is another model's tokenizer.",
            f"Use the one of {REPOSITORY}: --tokenizer PATH (policy.tokenizer).",
        )
    line_break = tokenizer.encode("\n")
    if vocabulary >= PALIGEMMA_ROWS and (tokenizer.bos, line_break) != (_BOS, [_LINE_BREAK]):
        raise CheckpointError(
            f"{path} is not PaliGemma's tokenizer: it begins a prompt with {tokenizer.bos} instead of "
            f"{_BOS}, or ends it with {line_break} instead of {_LINE_BREAK}.",
            f"It is another model's, of {tokenizer.size} words; every task would be gibberish.",
            f"Use the one of {REPOSITORY}: --tokenizer PATH (policy.tokenizer).",
        )
    return tokenizer, path


def _asked(asked: str) -> Path | None:
    path = Path(asked).expanduser()
    if path.is_dir():
        return next(_in_folder(path), None)
    if not path.exists():
        raise CheckpointError(
            f"There is no tokenizer {path}.",
            "The path was mistyped, or the file is on another machine.",
            "Give a tokenizer.json or tokenizer.model, or a folder that has one.",
        )
    return path


def _candidates(checkpoint: Path) -> Iterator[Path]:
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    for place in (folder, folder / "tokenizer", folder / "assets"):
        yield from _in_folder(place)
    openpi = os.environ.get("OPENPI_DATA_HOME")
    root = Path(openpi).expanduser() if openpi else Path.home() / ".cache/openpi"
    yield from _in_folder(root / "big_vision")
    yield from _in_folder(paths.cache_dir() / "tokenizer")
    snapshots = _hub_cache() / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"
    for snapshot in sorted(snapshots.glob("*")):
        yield from _in_folder(snapshot)


def _hub_cache() -> Path:
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache/huggingface") / "hub"


def _in_folder(folder: Path) -> Iterator[Path]:
    for name in _FILES:
        if (folder / name).is_file():
            yield folder / name


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"The tokenizer {path} cannot be read: {error}.",
        "It is not a tokenizer, or its download was cut short (git-lfs leaves a text of 3 lines).",
        f"Fetch it again: hf download {REPOSITORY} {path.name}, or name another: --tokenizer PATH.",
    )
