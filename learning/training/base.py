"""What a run begins from (`--from`): whether it is a policy of the kind that is to be trained.

LeRobot takes the kind from the checkpoint and would train that one; steps, report, the weights for
its eyes and a bundle's packages would still be those of the word that was said.
"""

from pathlib import Path

from learning.training.prepare import Prepared
from policies.checkpoint.folder import CONFIG, read_json
from robotd.errors import CheckpointError


def base_of(text: str) -> str:
    """The base as LeRobot is told it: a folder in full, else the hub's name as it was said."""
    folder = Path(text).expanduser()
    return str(folder.absolute()) if text and folder.is_dir() else text


def check_kind(kind: str, base: str, *, offline: bool) -> Prepared:
    """Whether the checkpoint `base`, a folder or a name of the hub, is a policy of `kind`.

    Of the hub its config.json alone is fetched; where that cannot be had there is a warning. Raises
    CheckpointError for another kind, and for what is no checkpoint of LeRobot's.
    """
    if not base:
        return Prepared()
    folder = Path(base).expanduser()
    if folder.is_dir():
        file = folder / CONFIG
    else:
        found = _of_hub(base, offline=offline)
        if isinstance(found, Prepared):
            return found
        file = found
    said = read_json(file).get("type") if file.exists() else None
    if said is None:
        raise CheckpointError(
            f"{base} is no checkpoint that LeRobot begins from.",
            f"There is no {CONFIG} in it that says a kind: it is a run's own folder, or another "
            "program's checkpoint.",
            "Of a run name RUN/checkpoints/last/pretrained_model. robotd ckpt inspect tells "
            "what another one is.",
        )
    if said != kind:
        raise CheckpointError(
            f"{base} is a policy of the kind {said}, not {kind}.",
            "Another checkpoint was meant, or the word after robotd train is mistyped: a run goes "
            "on with the kind that it begins from.",
            f"Say robotd train {said} --from {base}, or begin from a checkpoint of {kind}.",
        )
    return Prepared()


def _of_hub(name: str, *, offline: bool) -> Path | Prepared:
    """The base's config.json in the hub's cache, or what to know where it cannot be looked at."""
    try:
        import httpx
        from huggingface_hub import errors, hf_hub_download
    except ImportError:
        return Prepared()  # the light install: the trainer is missing too, and is said to be
    try:
        return Path(hf_hub_download(name, CONFIG, local_files_only=offline))
    except errors.HFValidationError as error:
        raise CheckpointError(
            f"{name!r} is neither a folder here nor a name of the hub.",
            "It was mistyped, or the folder lies elsewhere.",
            "Say --from FOLDER or --from owner/name.",
        ) from error
    except errors.HfHubHTTPError as error:
        raise CheckpointError(
            f"The hub does not give {CONFIG} of {name}: {str(error).splitlines()[0][:200]}",
            "The name is mistyped, it is no checkpoint of LeRobot's, or it is private or gated and "
            "this machine has no token for it.",
            "Look at its page on the hub; for a private or gated one: hf auth login.",
        ) from error
    except (OSError, httpx.HTTPError) as error:  # no network, or offline and not in the cache
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        return Prepared(warnings=(f"whether {name} is of this kind was not looked at: {why}",))
