"""The steps that LeRobot saved around a Pi0, against what robotd does in their place.

robotd reads a pipeline as data and does its steps itself: names, task, tokens, relative actions and
normalisation. A step that it would leave out makes another policy of the same weights, so it is
refused by name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from policies.checkpoint.container import Container
from policies.checkpoint.folder import read_json
from policies.checkpoint.norms import NORMALISERS, POSTPROCESSOR, PREPROCESSOR
from robotd.errors import CheckpointError

_TOKENIZER = "tokenizer_processor"
_DONE = (
    *NORMALISERS,
    _TOKENIZER,
    "rename_observations_processor",
    "to_batch_processor",
    "device_processor",
    "pi0_new_line_processor",
    "pi05_prepare_state_tokenizer_processor_step",
    "relative_actions_processor",
    "absolute_actions_processor",
)
"""Steps of LeRobot 0.4 to 0.6 (`processor_pi0.py`, `processor_pi05.py`)."""
_WORDS = "paligemma"


def refuse_what_is_not_done(container: Container) -> None:
    """Raises CheckpointError for a step, or a normalisation of pictures, that robotd's Pi0 has not."""
    for file, step in _steps(container):
        name = str(step.get("registry_name") or step.get("class") or "one without a name")
        if name in _DONE or (step.get("config") or {}).get("enabled") is False:
            continue
        raise CheckpointError(
            f"{container.path / file} has a step that robotd's Pi0 does not do: {name}.",
            "Its trainer or a plugin added it; without it the policy would see or say other numbers "
            "than in training.",
            "Take the step out of the file if it changes nothing on this robot; else train without it.",
        )
    mode = container.norm.modes.get("VISUAL", "IDENTITY")
    if mode != "IDENTITY":
        raise CheckpointError(
            f"{container.path} normalises pictures by {mode} ({container.norm.source}); robotd's Pi0 "
            "shows them from -1 to 1 as they are.",
            "It was trained with another normalization_mapping than LeRobot's own of a Pi0.",
            "Train it with VISUAL IDENTITY; there is no way to play it otherwise here.",
        )


def another_tokenizer(container: Container) -> CheckpointError | None:
    """What to say where the saved pipeline wrote its prompts with other words than PaliGemma's."""
    for file, step in _steps(container):
        name = str((step.get("config") or {}).get("tokenizer_name") or _WORDS)
        if step.get("registry_name") == _TOKENIZER and _WORDS not in name.lower():
            return CheckpointError(
                f"{container.path / file} names the tokenizer {name}; a PaliGemma's is taken.",
                "It is a copy under another name, or the policy learned other words.",
                "If it is another one, give it: --tokenizer PATH.",
            )
    return None


def _steps(container: Container) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step of both pipelines with its file, where LeRobot wrote any."""
    if container.framework != "lerobot":
        return
    for file in (PREPROCESSOR, POSTPROCESSOR):
        path = container.path / file
        for step in read_json(path).get("steps", []) if path.exists() else ():
            yield file, step
