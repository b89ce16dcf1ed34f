"""How a Pi0 checkpoint wants to be used: what its container says, and what its framework always did.

Weights tell the dimensions; the rest (how pictures were padded, what the prompt looked like, which
formula normalised, how long a chunk is) is provenance. It comes from `robotd_ckpt.json` where that
says it, else from the framework's own files, else from what every release of that framework did.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.embodiment import ROLES
from policies.checkpoint.container import Container
from policies.checkpoint.folder import Feature, renamed_inputs
from policies.checkpoint.norms import ACTION, STATE
from policies.checkpoint.pi0_layout import Pi0Kind
from policies.checkpoint.relative import said_delta
from policies.embodiment_choice import Chosen
from policies.model import Interface
from policies.pi0.normalise import Normaliser, make_normaliser
from policies.pi0.pictures import PadMode
from policies.pi0.pipeline import another_tokenizer, refuse_what_is_not_done
from policies.pi0.prompt import PromptStyle, StateText
from robotd.errors import CheckpointError

OWN_STATE = "state"
"""The key of the state where no config.json names one (openpi)."""

_PROMPT_TOKENS: dict[Pi0Kind, int] = {"pi0": 48, "pi05": 200}
_LEROBOT_PAD: dict[str, PadMode] = {"g1": "lerobot03", "g2": "lerobot04", "g3": "lerobot06"}
_EMPTY_CAMERA = "observation.images.empty_camera_"


@dataclass(frozen=True, slots=True, eq=False)
class Pi0Settings:
    """Everything about a checkpoint that is not a weight.

    `views` are its own keys in the network's order. `delta` [A] says which actions are relative to
    the state, and `adds_state` whether that is undone here (LeRobot) or by an embodiment (openpi).
    `width` is the size of the network's actions, `state_width` of its state, `side` of its
    pictures in pixels.
    """

    kind: Pi0Kind
    name: str
    horizon: int
    horizon_source: str
    n_action_steps: int
    steps: int
    views: tuple[str, ...]
    state_key: str
    pad: PadMode
    pad_source: str
    prompt: PromptStyle
    state: Normaliser
    action: Normaliser
    delta: npt.NDArray[np.bool_]
    adds_state: bool
    action_size: int
    width: int
    state_width: int
    side: int
    interface: Interface
    doubts: tuple[str, ...] = ()
    """What is taken for granted because nothing in the folder says it, with the way to say it."""


def read_settings(container: Container, chosen: Chosen | None = None) -> Pi0Settings:
    """Raises CheckpointError for what cannot be used as it is.

    `chosen` is the embodiment of a checkpoint of openpi: what its row says of its models counts.
    """
    lerobot = container.framework == "lerobot"
    if lerobot:
        _refuse_old_aloha(container)
        refuse_what_is_not_done(container)
    kind, dims, config = container.pi0_kind, container.dims, container.config
    width, state_width = dims.action, dims.state or dims.action
    horizon, horizon_source = horizon_of(container, chosen)
    pad, pad_source = padding(container)
    interface = _interface(container, dims.image_size, width, state_width)
    views = tuple(key for key, f in interface.inputs.items() if f.type == "VISUAL")
    action_size = interface.outputs[ACTION].shape[0]
    return Pi0Settings(
        kind=kind,
        name=interface.name,
        horizon=horizon,
        horizon_source=horizon_source,
        n_action_steps=int(config.get("n_action_steps", horizon)),
        steps=int(config.get("num_inference_steps", config.get("num_steps", 10))),
        views=views,
        state_key=STATE if lerobot else OWN_STATE,
        pad=pad,
        pad_source=pad_source,
        prompt=_prompt(container, kind, state_width, chosen),
        state=_normaliser(container, STATE),
        action=_normaliser(container, ACTION),
        delta=said_delta(container, action_size),
        adds_state=lerobot,
        action_size=action_size,
        width=width,
        state_width=state_width,
        side=dims.image_size,
        interface=interface,
        doubts=tuple(f"{doubt.what} {doubt.do}" for doubt in doubts(container, chosen)),
    )


def _interface(container: Container, side: int, width: int, state_width: int) -> Interface:
    name = str(container.path)
    known = container.stats.get(STATE, {}).items()
    size = max((value.size for stat, value in known if stat != "count"), default=state_width)
    if container.framework != "lerobot":
        views = {role: Feature("VISUAL", (3, side, side)) for role in ROLES}
        # openpi normalises what its statistics are of: a state that was filled up first has more.
        return Interface(
            name,
            {**views, OWN_STATE: Feature("STATE", (size,))},
            {ACTION: Feature("ACTION", (width,))},
            views_may_miss=True,
        )
    inputs = {k: f for k, f in container.inputs.items() if not k.startswith(_EMPTY_CAMERA)}
    inputs.setdefault(STATE, Feature("STATE", (state_width,)))
    if inputs[STATE].shape == (state_width,):  # a base's: see `stats_check.size_fits`
        inputs[STATE] = Feature("STATE", (size,))
    outputs = {ACTION: container.outputs.get(ACTION, Feature("ACTION", (width,)))}
    if not any(feature.type == "VISUAL" for feature in inputs.values()):
        raise CheckpointError(
            f"{name} names no camera.",
            "Its config.json was saved before it was given a dataset's features.",
            "Train or save it with its dataset, or add the cameras to input_features.",
        )
    renamed = {key: said for key, said in renamed_inputs(container.path).items() if key in inputs}
    return Interface(name, inputs, outputs, views_may_miss=True, renamed=renamed)


def padding(container: Container) -> tuple[PadMode, str]:
    if container.sidecar.image_pad:
        return container.sidecar.image_pad, "robotd_ckpt.json"
    if container.framework == "lerobot":
        return _LEROBOT_PAD[container.generation], f"written by LeRobot ({container.generation})"
    return "openpi", "written by openpi"


def horizon_of(container: Container, chosen: Chosen | None = None) -> tuple[int, str]:
    """The actions of a chunk, and who says so. Raises CheckpointError where nobody does."""
    if container.horizon[0]:
        return container.horizon
    row = chosen.row.horizon.get(container.pi0_kind) if chosen else None
    if chosen and row:
        return row, f"embodiment {chosen.name}"
    raise CheckpointError(
        f"Nothing says how many actions a chunk of {container.path} has.",
        "No tensor tells it; openpi has it in the configuration of the training alone, and those it "
        "published have 10, 15 or 50.",
        'Say it in robotd_ckpt.json beside the weights: {"horizon": 50} (its action_horizon; openpi '
        "trains 50 where that says nothing), or to a conversion: --horizon 50.",
    )


def doubts(container: Container, chosen: Chosen | None = None) -> Iterator[CheckpointError]:
    """What nothing in the folder tells and was decided all the same."""
    words = another_tokenizer(container)
    if words is not None:
        yield words
    if not state_text(container, container.pi0_kind, chosen)[1]:
        yield CheckpointError(
            f"Nothing says whether the prompt of {container.path} tells the state; it is told, as "
            "openpi does unless it was trained otherwise.",
            "discrete_state_input is in the configuration of the training alone: pi05_libero, for "
            "one, was trained with False.",
            'Say it in robotd_ckpt.json beside the weights: {"state_text": "plain"}, or "none".',
        )
    if not container.release_unsaid:
        return
    said, kind = container.sidecar, container.pi0_kind
    older, newer = {}, {}
    if not said.image_pad:
        older["image_pad"], newer["image_pad"] = "lerobot04", "lerobot06"
    if not said.state_text and state_text(container, kind)[0] == "padded":
        older["state_text"], newer["state_text"] = "padded", "plain"
    if older:
        yield CheckpointError(
            f"{container.path} was saved by LeRobot 0.4 or 0.5.0, and nothing in it says by which; "
            f"it is played as 0.4's ({', '.join(older.values())}).",
            "The two differ in pictures' bars and a Pi0.5's prompt; only train_config.json tells "
            "them apart, and it is not there.",
            "Copy it from the training run, or say it in robotd_ckpt.json beside the weights: "
            f"0.4 is {json.dumps(older)}, 0.5.0 {json.dumps(newer)}.",
        )


def state_text(
    container: Container, kind: Pi0Kind, chosen: Chosen | None = None
) -> tuple[StateText, str]:
    """How the prompt tells the state, and who says so; "" where it is only openpi's usual way."""
    if container.sidecar.state_text:
        return container.sidecar.state_text, "robotd_ckpt.json"
    if kind == "pi0":
        return "none", "a Pi0 has it as a token"
    discrete = container.config.get("discrete_state_input")
    if discrete is not None:
        return "plain" if discrete else "none", "config.json"
    if container.framework == "lerobot":
        # LeRobot up to 0.4 filled the state up before it put it into bins (huggingface/lerobot
        # #2891).
        old = container.generation in ("g1", "g2")
        return "padded" if old else "plain", f"written by LeRobot ({container.generation})"
    if chosen and chosen.row.state_text:
        return chosen.row.state_text, f"embodiment {chosen.name}"
    return "plain", ""


def _prompt(
    container: Container, kind: Pi0Kind, state_width: int, chosen: Chosen | None
) -> PromptStyle:
    config, sidecar = container.config, container.sidecar
    said = config.get("tokenizer_max_length") or config.get("max_token_len")
    return PromptStyle(
        length=sidecar.prompt_tokens or int(said or _PROMPT_TOKENS[kind]),
        state=state_text(container, kind, chosen)[0],
        cleaned=container.framework != "lerobot" or kind == "pi05",
        state_size=state_width,
        pi05=kind == "pi05",
    )


def _normaliser(container: Container, key: str) -> Normaliser:
    norm = container.norm
    mode = norm.modes.get("STATE" if key == STATE else "ACTION", "IDENTITY")
    what = f"{key} of {container.path}"
    return make_normaliser(container.stats.get(key, {}), mode, norm.formula, norm.eps, what)


def _refuse_old_aloha(container: Container) -> None:
    """Two switches of LeRobot up to 0.3 that change every number, and only for that robot."""
    on: list[Any] = [
        key
        for key in ("adapt_to_pi_aloha", "use_delta_joint_actions_aloha")
        if container.config.get(key)
    ]
    if on:
        raise CheckpointError(
            f"{container.path} was trained for an ALOHA ({', '.join(on)}).",
            "Its states and actions are in that robot's convention, inside the model.",
            "It cannot move this arm; use a checkpoint that was trained on an SO-101.",
        )
