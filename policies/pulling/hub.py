"""The Hugging Face hub as a source: pinned to a commit, read by ranges, refusals put into words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policies.pulling.remote import LineError, Listing, RemoteFile
from policies.pulling.source import Source
from robotd.errors import CheckpointError
from robotd.installed import install_again

_TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 20
_COMMIT_CHARACTERS = 40


class HubRemote:
    """One repository of models on the hub that HF_ENDPOINT names."""

    def __init__(self, source: Source) -> None:
        try:
            import huggingface_hub  # noqa: F401 (only whether it is there)
        except ImportError as error:
            raise CheckpointError(
                "Nothing can be pulled from the hub: huggingface_hub is not installed.",
                "robotd was installed without the policy extra.",
                f"Install it: {install_again('policy')}",
            ) from error
        self._source = source

    def listing(self) -> Listing:
        from huggingface_hub import HfApi

        source = self._source
        with _speaking(source):
            info = HfApi(library_name="robotd").model_info(
                source.place,
                revision=source.revision or None,
                files_metadata=True,
                timeout=_TIMEOUT_S,
            )
        prefix = source.folder + "/" if source.folder else ""
        files = [_file(each, prefix) for each in info.siblings if each.rfilename.startswith(prefix)]
        if not isinstance(info.sha, str) or len(info.sha) != _COMMIT_CHARACTERS:
            raise _no_hub(source, f"{info.sha!r} is no commit")
        return Listing(revision=info.sha, files=tuple(sorted(files, key=lambda each: each.path)))

    def read(self, revision: str, file: RemoteFile, start: int) -> Iterator[bytes]:
        import httpx
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        source = self._source
        path = f"{source.folder}/{file.path}" if source.folder else file.path
        url = hf_hub_url(source.place, path, revision=revision)
        headers = build_hf_headers(library_name="robotd") | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with _speaking(source):
            client = get_session()
            try:
                with client.stream(
                    "GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True
                ) as answer:
                    if answer.status_code >= 500 or answer.status_code == 429:
                        raise LineError(f"the hub answered {answer.status_code}")
                    if answer.is_error:
                        answer.read()
                        hf_raise_for_status(answer)
                    skip = start if answer.status_code != httpx.codes.PARTIAL_CONTENT else 0
                    for block in answer.iter_raw(_BLOCK_BYTES):
                        if skip >= len(block):  # a server that does not know ranges sends it all
                            skip -= len(block)
                            continue
                        yield block[skip:]
                        skip = 0
            except httpx.TransportError as error:
                raise LineError(f"{type(error).__name__}: {error}") from error


def in_hub_cache(source: Source, revision: str, files: tuple[RemoteFile, ...]) -> Path | None:
    """The snapshot in the hub's own cache that has all of these files at this commit, if there is
    one: then nothing has to be fetched."""
    from huggingface_hub import try_to_load_from_cache

    found: Path | None = None
    for file in files:
        path = f"{source.folder}/{file.path}" if source.folder else file.path
        here = try_to_load_from_cache(source.place, path, revision=revision)
        if not isinstance(here, str) or Path(here).stat().st_size != file.size_bytes:
            return None
        if found is None:
            found = Path(here)
            for _ in Path(file.path).parts:
                found = found.parent
    return found


def _file(each: Any, prefix: str) -> RemoteFile:
    return RemoteFile(
        path=each.rfilename.removeprefix(prefix),
        size_bytes=int(each.size or 0),
        sha256=each.lfs.sha256 if each.lfs is not None else "",
        # Of a large file the hub's git knows only the pointer.
        git_sha1=str(each.blob_id or "") if each.lfs is None else "",
        tag=str(each.blob_id or ""),
    )


@contextmanager
def _speaking(source: Source) -> Iterator[None]:
    """Around calls of the hub's client: what it raises comes out in three sentences."""
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except (CheckpointError, LineError, OSError) as error:
        if isinstance(error, errors.OfflineModeIsEnabled):
            raise _offline(source) from error
        if isinstance(error, errors.HfHubHTTPError):
            raise _refused(source, error) from error
        raise
    except errors.HFValidationError as error:
        raise CheckpointError(
            f"{source.place!r} is no repository's name: {str(error).splitlines()[0]}",
            "It was mistyped.",
            "Names are owner/name; look the model up on the hub and copy its name.",
        ) from error
    except httpx.TransportError as error:
        raise CheckpointError(
            f"The hub cannot be reached: {type(error).__name__} {error}.",
            "This machine is offline, a proxy is needed (HTTPS_PROXY), or HF_ENDPOINT is wrong.",
            f"Try again once it is there: robotd ckpt pull {source.name}. What was pulled before "
            "can be used without network: robotd ckpt list",
        ) from error
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_hub(source, f"{type(error).__name__}: {error}"[:200]) from error


def _refused(source: Source, error: Any) -> CheckpointError:
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{source.place}"
    if isinstance(error, errors.GatedRepoError):
        return CheckpointError(
            f"{source.place} is gated: its owners give it to those who accept their terms.",
            "Nobody accepted them with this account yet, or there is no token on this machine.",
            f"Open {page}, accept the terms, then: hf auth login, and pull again. If you only need "
            "its tokenizer and have the file, give it where the policy is loaded: --tokenizer FILE.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return CheckpointError(
            f"{source.place} has no revision {source.revision!r}.",
            "The branch, tag or commit was mistyped, or has been removed.",
            f"See them at {page}/commits, or leave it out for the newest.",
        )
    status = getattr(getattr(error, "response", None), "status_code", "an error")
    # Without a token the hub says 401 of what is not there, too.
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return CheckpointError(
            f"The hub shows no model {source.place}.",
            "The name is mistyped, it is a dataset, or it is private and this machine has no token "
            "for it.",
            f"Look: {page}. If it is private: hf auth login, and pull again.",
        )
    return CheckpointError(
        f"The hub answered {status} for {source.place}: {str(error).splitlines()[0][:200]}",
        "The token may not read it, a file is gone, or the hub has a disturbance.",
        f"Look: {page}. Then pull again; what is here is kept.",
    )


def _offline(source: Source) -> CheckpointError:
    return CheckpointError(
        f"{source.place} is not asked for: HF_HUB_OFFLINE is set.",
        "It was set for a machine without network, or for one run in this shell.",
        f"unset HF_HUB_OFFLINE, then: robotd ckpt pull {source.name}. What is here already: "
        "robotd ckpt list",
    )


def _no_hub(source: Source, why: str) -> CheckpointError:
    return CheckpointError(
        f"What answered for {source.place} is no hub ({why}).",
        "A sign-in page of the network (hotel, guest Wi-Fi), a proxy, or a wrong HF_ENDPOINT.",
        "Open a browser on this network and sign in; then pull again.",
    )
