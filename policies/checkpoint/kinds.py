"""Which policy a checkpoint is, read from the names of its tensors; a folder's name says nothing."""

from collections.abc import Iterable

from policies.checkpoint.pi0_layout import canonical_name, kind_of

_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("smolvla", ("model.vlm_with_expert.",)),
    ("act", ("model.encoder.layers.", "model.decoder.layers.", "model.action_head.")),
    ("diffusion", ("diffusion.unet.",)),
    ("vqbet", ("vqbet.",)),
    ("tdmpc", ("model._dynamics.",)),
    ("groot", ("_groot_model.",)),
    ("pi0_fast", ("model.paligemma_with_expert.", "paligemma_with_expert.")),
)
"""Kind -> beginnings of names that only it has; the first that matches is it."""


def kind_from_keys(names: Iterable[str]) -> str | None:
    """The kind that these tensors are of; None: of none that is known here."""
    names = [name.replace("_orig_mod.", "") for name in names]
    if pi0 := kind_of({canonical_name(name): None for name in names}):
        return pi0
    for kind, beginnings in _MARKS:
        if any(name.startswith(beginnings) for name in names):
            return kind
    return None
