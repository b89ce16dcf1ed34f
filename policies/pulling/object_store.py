"""Object stores as a source, through fsspec: `gs://` without an account, and whatever it knows.

There is no commit to pin to, so the revision is a hash of the listing (paths, sizes, and whatever
the store has that changes with content); a file that changes while it is fetched fails its check.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from policies.pulling.remote import LineError, Listing, RemoteFile
from policies.pulling.source import Source
from robotd.errors import CheckpointError
from robotd.installed import install_again, uv_pip

_BLOCK_BYTES = 4 << 20


class StoreRemote:
    """One folder of an object store."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._root = ""
        self._fs = _open(source)

    def listing(self) -> Listing:
        with _speaking(self._source):
            root = str(self._fs._strip_protocol(self._source.url)).rstrip("/")
            found: Mapping[str, Mapping[str, Any]] = self._fs.find(root, detail=True)
        self._root = root
        files = tuple(
            _file(path.removeprefix(root).lstrip("/"), about)
            for path, about in sorted(found.items())
            if about.get("type", "file") == "file" and not path.endswith("/")
        )
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.path}\0{file.size_bytes}\0{file.tag}\n".encode())
        return Listing(revision=digest.hexdigest()[:40], files=files)

    def read(self, revision: str, file: RemoteFile, start: int) -> Iterator[bytes]:
        path = f"{self._root}/{file.path}"
        for begin in range(start, file.size_bytes, _BLOCK_BYTES):
            end = min(begin + _BLOCK_BYTES, file.size_bytes)
            with _speaking(self._source, reading=True):
                block = self._fs.cat_file(path, start=begin, end=end)
            yield bytes(block)


def _open(source: Source) -> Any:
    """The file system. Buckets of models are public: no account is asked for unless one is set."""
    try:
        import fsspec
    except ImportError as error:
        raise _not_installed("fsspec", source) from error
    options: dict[str, Any] = {}
    if source.scheme == "gs" and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        options["token"] = "anon"
    try:
        return fsspec.filesystem(source.scheme, **options)
    except ImportError as error:
        raise _not_installed(str(error), source) from error
    except ValueError as error:
        raise CheckpointError(
            f"Nobody knows how to read {source.scheme}://.",
            "The scheme is mistyped.",
            "The hub is owner/name, Google's store gs://bucket/path, Amazon's s3://bucket/path.",
        ) from error


def _file(path: str, about: Mapping[str, Any]) -> RemoteFile:
    names = ("generation", "etag", "ETag", "mtime", "created")
    tag = next((str(about[name]) for name in names if about.get(name)), "")
    return RemoteFile(path=path, size_bytes=int(about.get("size") or 0), md5=_md5(about), tag=tag)


def _md5(about: Mapping[str, Any]) -> str:
    """Google's `md5Hash` in hex; composite objects have none."""
    try:
        return base64.b64decode(str(about.get("md5Hash", "")), validate=True).hex()
    except (ValueError, binascii.Error):
        return ""


@contextmanager
def _speaking(source: Source, reading: bool = False) -> Iterator[None]:
    """Around calls of fsspec: what a store raises comes out in three sentences, or as LineError
    where trying again from the same byte may help."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is nothing at {source.url}.",
            "The path was mistyped, or what was there is gone.",
            "Give the folder that holds params/ or model.safetensors, as its owners write it.",
        ) from error
    except PermissionError as error:
        raise _closed(source, error) from error
    # Every store's client has exceptions of its own (gcsfs, aiohttp, botocore), with no common base.
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        if _status(error) in (401, 403):
            raise _closed(source, error) from error
        if reading:
            raise LineError(words[:200]) from error
        raise CheckpointError(
            f"{source.url} cannot be asked: {words[:300]}.",
            "This machine is offline, a proxy is needed (HTTPS_PROXY), or the store is down.",
            f"Try again once it is there: robotd ckpt pull {source.name}",
        ) from error


def _status(error: BaseException) -> int:
    code = str(getattr(error, "code", None) or getattr(error, "status", ""))
    return int(code) if code.isdigit() else 0


def _closed(source: Source, error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"{source.url} does not let everybody read it ({type(error).__name__}).",
        "The bucket is private, or its owners charge those who read it.",
        "Log in (gcloud auth application-default login) and set GOOGLE_APPLICATION_CREDENTIALS to "
        "the file that it names; then pull again."
        if source.scheme == "gs"
        else "Set the store's own credentials in the environment; then pull again.",
    )


def _not_installed(what: str, source: Source) -> CheckpointError:
    return CheckpointError(
        f"{source.scheme}:// cannot be read: {what}.",
        "The package for this store is not installed (gs:// comes with the policy extra).",
        f"Install it: {uv_pip('install', 's3fs')}"
        if source.scheme == "s3"
        else f"Install it: {install_again('policy')}",
    )
