"""What a client asks, read from one message; and what a served model says of itself.

Pure: messages in, requests out. An observation has the model's own keys beside `prompt`; openpi's
clients send nothing else. robotd's own additions begin with two underscores, so that they can never
be an observation: `__cmd__`, `__id__`, `__noise__`, `__leftover__`, `__seed__`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from config.embodiment import Embodiment
from policies.checkpoint.folder import Feature
from policies.embodiment_choice import Chosen
from policies.model import Interface, Model
from policies.rtc import Leftover, RawChunk, Schedule
from policies.server.wire import Message
from robotd.errors import CheckpointError

PROTOCOL = 1
"""Of robotd's part of the metadata. A client of another one takes the server for openpi's."""

OURS = "robotd"
"""The key of robotd's part of the metadata."""

_OWN_DTYPES = "biuf"


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """The embodiment that the served checkpoint is of: the whole row, for its file may be a
    person's own."""

    name: str
    source: str
    row: Embodiment


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """robotd's part of a server's metadata: all that a client would read from the checkpoint.

    `inputs` and `outputs` are type and shape by key, `means` an average observation. `sha256` is that
    of what decides the actions; `views_may_miss` and `steps_seen` as in `policies.model.Interface`; `convention` what
    a robot's values have to come through, None where the keys are the robot's own.
    """

    protocol: int = PROTOCOL
    kind: str
    name: str
    chunk: int
    n_action_steps: int
    fps: float
    fps_source: str
    units: str
    units_source: str
    joints: tuple[str, ...]
    inputs: dict[str, Feature]
    outputs: dict[str, Feature]
    means: dict[str, list[float]] = {}
    sha256: str = ""
    views_may_miss: bool = False
    steps_seen: int = 1
    convention: Convention | None = None

    @property
    def interface(self) -> Interface:
        """What it takes and gives."""
        return Interface(self.name, self.inputs, self.outputs, self.views_may_miss, self.steps_seen)

    def chosen(self, url: str) -> Chosen | None:
        """The embodiment, as if its checkpoint were here."""
        found = self.convention
        if found is None:
            return None
        return Chosen(found.name, found.row, f"{url}: {found.source}")


def metadata_of(model: Model, sha256: str) -> Message:
    """What is sent first: openpi's clients may read the two numbers, robotd's read it all."""
    evidence, interface = model.evidence, model.interface
    chosen: Chosen | None = getattr(model, "chosen", None)
    convention = None
    if chosen is not None:
        convention = Convention(name=chosen.name, source=chosen.source, row=chosen.row)
    said = Said(
        kind=model.kind,
        name=interface.name,
        chunk=model.chunk,
        n_action_steps=model.n_action_steps,
        fps=evidence.fps,
        fps_source=evidence.fps_source,
        units=evidence.units,
        units_source=evidence.units_source,
        joints=evidence.joints,
        inputs=dict(interface.inputs),
        outputs=dict(interface.outputs),
        means={key: value.ravel().tolist() for key, value in model.means.items()},
        sha256=sha256,
        views_may_miss=interface.views_may_miss,
        steps_seen=interface.steps_seen,
        convention=convention,
    )
    width = next((each.shape[-1] for each in interface.outputs.values() if each.shape), 0)
    return {
        "action_horizon": model.chunk,
        "action_dim": width,
        OURS: msgspec.to_builtins(said),
    }


def said_of(metadata: Mapping[str, Any]) -> Said | None:
    """robotd's part of a server's metadata; None where it is another program's."""
    try:
        said = msgspec.convert(metadata.get(OURS), Said)
    except msgspec.ValidationError:
        return None
    return said if said.protocol == PROTOCOL else None


@dataclass(frozen=True, slots=True)
class Request:
    """One message of a client. `command` is "reset" or empty; `fresh`: a new episode begins with
    this observation. `number` is what the client calls it, and comes back in the answer."""

    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    task: str = ""
    command: str = ""
    fresh: bool = False
    number: int | None = None
    noise: npt.NDArray[np.float32] | None = None
    leftover: Leftover | None = None
    seed: int | None = None  # of what the model draws in the episode that a reset begins


def read_request(message: Message, model: Interface) -> Request:
    """Understand a client's message. `model` is what it takes. Raises CheckpointError."""
    number = message.get("__id__")
    number = number if isinstance(number, int) else None
    command = message.get("__cmd__")
    if command is not None:
        if command != "reset":
            raise CheckpointError(
                f"There is no command {command!r}.",
                "The client is of another version.",
                'Send {"__cmd__": "reset"} at the start of an episode, or an observation.',
            )
        seed = message.get("__seed__")
        return Request(command="reset", number=number, seed=seed if isinstance(seed, int) else None)
    done = _truth(message.get("done"))
    if done and not any(key in message for key in model.inputs):
        return Request(command="reset", number=number)  # the end of an episode and nothing else
    return Request(
        values=_values(message, model),
        task=_text(message.get("prompt", "")),
        fresh=done,
        number=number,
        noise=_noise(message.get("__noise__")),
        leftover=_leftover(message.get("__leftover__")),
    )


def _values(message: Message, model: Interface) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for key, feature in model.inputs.items():
        value = message.get(key)
        picture = feature.type == "VISUAL"
        if value is None and picture and model.views_may_miss:
            continue
        if value is None:
            has = ", ".join(sorted(name for name in message if name not in ("prompt", "done")))
            raise _refused(f"The observation has no {key}; it has {has or 'nothing'}.")
        array = np.asarray(value)
        if array.dtype.kind not in _OWN_DTYPES:
            raise _refused(f"{key} is {array.dtype}, not numbers.")
        read = _picture if picture else _vector
        several = model.steps_seen > 1 and array.ndim == len(feature.shape) + 1
        found[key] = (
            np.stack([read(key, each, feature, model.views_may_miss) for each in array])
            if several and len(array) == model.steps_seen
            else read(key, array, feature, model.views_may_miss)
        )
    return found


def _vector(
    key: str, array: npt.NDArray[Any], feature: Feature, lenient: bool
) -> npt.NDArray[np.float32]:
    """`lenient`: a shorter one is filled up by the model."""
    size = int(np.prod(feature.shape))
    if array.size != size and not (lenient and array.ndim == 1 and 0 < array.size < size):
        raise _refused(f"{key} has shape {array.shape} where the model has {feature.shape}.")
    own = np.asarray(array, np.float32)
    return own.reshape(feature.shape) if array.size == size else own


def _picture(
    key: str, array: npt.NDArray[Any], feature: Feature, lenient: bool
) -> npt.NDArray[np.uint8]:
    """`lenient`: the model resizes."""
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = np.moveaxis(array, 0, -1)  # openpi's ALOHA client sends channels first
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise _refused(
            f"The picture {key} is {array.dtype} of shape {array.shape}; uint8 [height, width, 3] "
            "is needed."
        )
    height, width = feature.shape[-2:]
    if not lenient and array.shape[:2] != (height, width):
        raise _refused(
            f"The picture {key} is {array.shape[1]}x{array.shape[0]}, the model's {width}x{height}."
        )
    return np.asarray(array, np.uint8)


def _noise(value: object) -> npt.NDArray[np.float32] | None:
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != 2:
        raise _refused("The noise is no array [steps, actions] of floating point numbers.")
    return np.asarray(value, np.float32)


def _leftover(value: object) -> Leftover | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _refused("The leftover of the chunk before is no map.")
    try:
        state = value.get("state")
        return Leftover(
            actions=np.asarray(value["actions"], np.float32),
            delay_steps=int(value["delay_steps"]),
            horizon=int(value["horizon"]),
            schedule=Schedule(value["schedule"]),
            max_weight=float(value["max_weight"]),
            state=None if state is None else np.asarray(state, np.float32),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(f"The leftover of the chunk before cannot be used ({error}).") from error


def reset_message(seed: int | None) -> Message:
    """What begins an episode; `seed` None: the model draws as it likes."""
    message: Message = {"__cmd__": "reset"}
    return message if seed is None else message | {"__seed__": seed}


def leftover_message(leftover: Leftover) -> Message:
    """The leftover as `__leftover__`."""
    message: Message = {
        "actions": leftover.actions,
        "delay_steps": leftover.delay_steps,
        "horizon": leftover.horizon,
        "schedule": leftover.schedule.value,
        "max_weight": leftover.max_weight,
    }
    return message if leftover.state is None else message | {"state": leftover.state}


def raw_message(raw: RawChunk) -> Message:
    """The chunk in model space as `__raw__` of an answer."""
    message: Message = {"actions": raw.actions}
    return message if raw.state is None else message | {"state": raw.state}


def read_raw(value: object) -> RawChunk | None:
    """`__raw__` of an answer; None where there is none."""
    if not isinstance(value, dict) or not isinstance(value.get("actions"), np.ndarray):
        return None
    state = value.get("state")
    return RawChunk(
        np.asarray(value["actions"], np.float32),
        None if state is None else np.asarray(state, np.float32),
    )


def _text(value: object) -> str:
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise _refused(f"The prompt is {type(value).__name__}, not text.")
    return value


def _truth(value: object) -> bool:
    return bool(np.any(value)) if isinstance(value, np.ndarray) else bool(value)


def _refused(what: str) -> CheckpointError:
    return CheckpointError(
        what,
        "The client was written for another policy.",
        "Compare with the metadata that the server sends first: its robotd.inputs.",
    )
