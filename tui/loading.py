"""The form that loads a policy: its fields, and the request they make. Pure."""

from collections.abc import Mapping

from robotd import messages
from robotd.paths import absolute
from tui.dialogs import FormField

UNITS = ("degrees", "range_m100_100")


def fields(answer: Mapping[str, str]) -> list[FormField]:
    """The form's fields, filled with what was answered before."""
    return [
        FormField("path", "Checkpoint folder", answer.get("path", ""), ".../pretrained_model"),
        FormField("task", "Task", answer.get("task", "")),
        FormField(
            "fps", "Its rate, fps", answer.get("fps", ""), "only if the checkpoint is silent"
        ),
        FormField(
            "units",
            f"Units of its joints: {' or '.join(UNITS)}",
            answer.get("units", ""),
            "only if the checkpoint is silent",
        ),
    ]


def complaint(answer: Mapping[str, str]) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if not answer["path"]:
        return "Which folder? It holds config.json and model.safetensors."
    if answer["fps"] and (not answer["fps"].isdecimal() or int(answer["fps"]) == 0):
        return f"{answer['fps']} is no rate: a whole number of actions a second, or nothing."
    if answer["units"] and answer["units"] not in UNITS:
        return f"{answer['units']} is no unit: {', '.join(UNITS)}, or nothing."
    return ""


def request(answer: Mapping[str, str]) -> messages.LoadPolicy:
    """The request. The folder's path is made whole: the daemon runs in another one."""
    return messages.LoadPolicy(
        path=absolute(answer["path"]),
        task=answer["task"],
        fps=int(answer["fps"]) if answer["fps"] else None,
        units=answer["units"],
    )
