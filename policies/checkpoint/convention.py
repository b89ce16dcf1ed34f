"""What `inspect` and `verify` can tell of a Pi0's chunk, prompt and relative actions: by its files, or
by the embodiment that a checkpoint of openpi is recognised as."""

from policies.checkpoint.container import Container
from policies.checkpoint.relative import delta_mask
from policies.embodiment_choice import Chosen, choose_embodiment
from robotd.errors import CheckpointError


def embodiment_of(container: Container, units: str = "") -> Chosen | None:
    """Of a checkpoint of openpi, where something tells it; None where it would be asked for."""
    if not container.is_pi0 or container.framework == "lerobot":
        return None
    try:
        said = units or container.sidecar.units
        return choose_embodiment("", container.path, container.kind, said)
    except CheckpointError:
        return None


def chunk_of(container: Container, chosen: Chosen | None) -> tuple[int, str]:
    """The actions of a chunk and who says so; (0, "") where nobody does."""
    if not container.is_pi0:
        return container.horizon
    from policies.pi0.settings import horizon_of

    try:
        return horizon_of(container, chosen)
    except CheckpointError:
        return 0, ""


def state_text_of(container: Container, chosen: Chosen | None) -> tuple[str, str]:
    """How a Pi0.5's prompt tells the state, and who says so; ("", "") for any other policy."""
    if container.kind != "pi05":
        return "", ""
    from policies.pi0.settings import state_text

    said, source = state_text(container, container.pi0_kind, chosen)
    return said, source or "openpi's usual way; nothing says it"


def mask_of(container: Container, chosen: Chosen | None) -> tuple[bool, ...]:
    """Which actions are relative to the state; empty where nothing says it."""
    if chosen is not None:
        return chosen.row.delta_mask
    if container.framework == "lerobot":
        return delta_mask(container)
    return container.sidecar.delta_mask
