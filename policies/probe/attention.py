"""Where the words of an instruction look in the pictures, drawn over them.

What is drawn is how much attention the words pay to each patch, the mean over heads and the later
half of the layers, of robotd's own Pi0: red where it is more than everywhere evenly would be, over
all views together, so that a view nobody looks at stays grey. It says where they look, not what they
make of it: a policy that looks at the right thing may still not listen, one that looks everywhere
evenly hardly can.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import IMAGES
from policies.embodied import MODEL_STATE, EmbodiedModel
from policies.model import Model
from policies.probe.asking import Asker
from policies.probe.samples import Place
from robotd.errors import CheckpointError
from robotd.installed import install_again

_SHOWN_PIXELS = 448  # the side of one picture in the drawing
_MOMENTS = 3  # rows of the drawing
_HOT = 5.0  # times what an even look would be: full red


def draw_overlay(asker: Asker, path: Path) -> None:
    """Draw some moments of the recording, a row each, a column for each view.

    Raises CheckpointError for a policy whose attention cannot be reached.
    """
    import cv2

    inner = asker.model.inner if isinstance(asker.model, EmbodiedModel) else asker.model
    _refuse_unreachable(inner)
    rows = []
    for place in _places(asker):
        values, task = asker.moment(place), asker.instruction(place)
        shown = {key: values[source] for key, source in asker.fit.inputs.items()}
        shown, task = _as_inner(asker.model, shown, task)
        maps = words_over_pictures(inner, shown, task)
        even = float(np.mean([heat.mean() for heat in maps.values()]))
        drawn = [_over(shown[view], heat / even) for view, heat in maps.items()]
        strip = np.concatenate(drawn, axis=1)
        _write(strip, task, 0, 24)
        total = sum(float(heat.sum()) for heat in maps.values())
        for column, (view, heat) in enumerate(maps.items()):
            part = f"{view.removeprefix(IMAGES)}: {heat.sum() / total:.0%} of the look"
            most = f", at most {heat.max() / even:.1f} x even"
            _write(strip, part + most, column * _SHOWN_PIXELS, _SHOWN_PIXELS - 12)
        rows.append(strip)
    found, content = cv2.imencode(".png", np.concatenate(rows)[..., ::-1])
    if not found:
        raise CheckpointError(
            "The overlay could not be drawn.",
            "OpenCV has no PNG encoder here.",
            f"Install it again: {install_again(reinstall='opencv-python-headless')}",
        )
    path.write_bytes(content.tobytes())


def _refuse_unreachable(model: Model) -> None:
    sampler = getattr(model, "sampler", None)
    if not (hasattr(model, "inputs") and hasattr(sampler, "weights")):
        raise CheckpointError(
            f"Where the words of {model.interface.name} look cannot be drawn: it is a {model.kind}.",
            "Attention is reached in robotd's own Pi0 and Pi0.5 in torch; ACT reads no words, and "
            "LeRobot's and a server's networks are closed to it.",
            "Probe it without --overlay; what it looks at stands in the table of inputs.",
        )


def _places(asker: Asker) -> list[Place]:
    """The middle of some episodes."""
    episodes = sorted(asker.rows)
    picked = np.linspace(0, len(episodes) - 1, min(_MOMENTS, len(episodes))).round().astype(int)
    return [Place(episodes[i], len(asker.rows[episodes[i]]) // 2) for i in picked]


def _as_inner(
    model: Model, shown: dict[str, npt.NDArray[Any]], task: str
) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """What the network's own policy is given, behind an embodiment or without one."""
    if not isinstance(model, EmbodiedModel):
        return shown, task
    seen = model.adapter.observe(shown, task)
    views: dict[str, npt.NDArray[Any]] = {
        role: seen.images[role] for role, there in seen.present.items() if there
    }
    views[MODEL_STATE] = seen.state.astype(np.float32)
    return views, seen.prompt


def words_over_pictures(
    policy: Any, values: dict[str, npt.NDArray[Any]], task: str
) -> dict[str, npt.NDArray[np.float64]]:
    """For each view that is shown, a square map of how much the words attend to each patch; all
    maps together sum to the share of attention that goes to pictures."""
    import torch

    from policies.pi0 import network

    sampler = policy.sampler
    inputs = policy.inputs(values, task)
    pixels, text, mask, _ = sampler.prepare(inputs)
    with torch.inference_mode():
        weights = network.prefix_attention(sampler.weights, sampler.dims, pixels, text, mask)
    per_layer = weights.to("cpu", torch.float64).numpy()
    layers = per_layer[len(per_layer) // 2 :].mean(axis=0)  # [P, P]
    pictures = len(mask) - len(inputs.words)
    words = pictures + np.flatnonzero(inputs.words)[1:]  # the first is the mark of the beginning
    looked = layers[words, :pictures].mean(axis=0)
    views = [key for key in policy.settings.views if key in values]
    side = round((pictures // max(1, len(views))) ** 0.5)
    return {
        view: part.reshape(side, side)
        for view, part in zip(views, np.split(looked, len(views)), strict=True)
    }


def _write(strip: npt.NDArray[np.uint8], words: str, left: int, top: int) -> None:
    import cv2

    plain, at = words.encode("ascii", "replace").decode(), (left + 8, top)
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(strip, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)


def _over(picture: npt.NDArray[Any], times_even: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """A picture in grey with the map in red, as the model sees it: squared by padding."""
    import cv2

    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    size = (_SHOWN_PIXELS, _SHOWN_PIXELS)
    grey = cv2.resize(square, size).mean(axis=2, keepdims=True)
    hot = cv2.resize((times_even - 1.0) / (_HOT - 1.0), size, interpolation=cv2.INTER_CUBIC)
    red = np.array([255.0, 40.0, 0.0])
    strength = np.clip(hot, 0.0, 1.0)[..., None] * 0.75
    drawn: npt.NDArray[np.uint8] = (grey * (1.0 - strength) + red * strength).astype(np.uint8)
    return drawn
