"""A task, and for Pi0.5 the state, as the token ids that a Pi0 was trained on.

Pi0: `BOS task \\n`. Pi0.5: `BOS Task: …, State: 12 200 …;\\nAction: `, the normalised state in 256 bins
(openpi `tokenizer.py`). LeRobot before 0.5 filled the state up to 32 values first, whose bins for zero
the model then learned to see; and LeRobot leaves underscores in a Pi0's task where openpi does not.
What was done in training comes with the checkpoint.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

StateText = Literal["none", "plain", "padded"]
_BINS = np.linspace(-1.0, 1.0, 257)[:-1]


class Tokenizer(Protocol):
    """PaliGemma's words. `encode` adds nothing to what the text itself gives."""

    @property
    def bos(self) -> int:
        """The id that begins every prompt."""
        ...

    @property
    def size(self) -> int:
        """How many ids there are."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ...


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """How a prompt is put together. `length` is the number of tokens the network takes; `state`
    whether and how the state is written into the text; `cleaned` whether underscores and line
    breaks of the task become spaces."""

    length: int
    state: StateText = "none"
    cleaned: bool = True
    state_size: int = 32
    pi05: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Token ids [length] int64 and which of them are there [length] bool; `cut`: how many did not
    fit and are lost."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    cut: int


def bins(state: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The bin 0..255 of each normalised value; -1 below -1."""
    return np.digitize(np.asarray(state, np.float64), _BINS) - 1


def prompt_text(task: str, style: PromptStyle, state: npt.NDArray[np.float64] | None) -> str:
    """The text that is to be tokenised, without its beginning mark."""
    words = task.strip().replace("_", " ").replace("\n", " ") if style.cleaned else task
    if not style.pi05:
        return words if words.endswith("\n") else words + "\n"
    if style.state == "none" or state is None:
        return words + "\n"
    if style.state == "padded":
        state = np.pad(state, (0, max(0, style.state_size - len(state))))
    return f"Task: {words}, State: {' '.join(map(str, bins(state)))};\nAction: "


def tokenise(tokenizer: Tokenizer, text: str, style: PromptStyle) -> Prompt:
    """The prompt's ids, filled up with zeros, or cut at the end as the original does."""
    # The line break that ends a Pi0's prompt is a word of its own, whatever comes before it.
    whole = text[:-1] if text.endswith("\n") else text
    found = [tokenizer.bos, *tokenizer.encode(whole)]
    if len(whole) < len(text):
        found += tokenizer.encode("\n")
    kept = found[: style.length]
    ids = np.zeros(style.length, np.int64)
    ids[: len(kept)] = kept
    return Prompt(ids, np.arange(style.length) < len(kept), len(found) - len(kept))
