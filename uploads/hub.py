"""The hub, by its own client: what an upload needs of it, with one patience and one way out.

`huggingface_hub` is imported here and nowhere else. Its HTTP client is made by us (the client
offers a hook for that) so that every byte passes `Traffic`, nothing is waited for without an end,
and a busy hub or a cut line comes back at once instead of being retried inside. Large files go
through the hub's HTTP storage, not through Xet: Xet's own Rust client has its own sockets, past
rate limit and pause.
"""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from uploads.traffic import Traffic
from uploads.troubles import BusyError, LineError, RefusedError, WaitError, gone, speaking

_TYPE = "dataset"
_MAIN = "main"
_TIMEOUT = httpx.Timeout(connect=15.0, read=120.0, write=60.0, pool=60.0)
"""A commit of hundreds of files takes the hub up to a minute; nothing takes two."""
_BUSY = {408, 429, 500, 502, 503, 504}
_CONCURRENT_CREATE = "another conflicting operation"
_THREADS = 3
_OID_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Remote:
    """A file in the repository. `id` is the content's SHA-256, or git's SHA-1 of a small file."""

    size_bytes: int
    id: str
    large: bool


@dataclass(frozen=True, slots=True)
class Local:
    """A file to be put at `path`: from the disk, or from memory."""

    path: str
    source: Path | bytes
    sha256: str


def check_token() -> str:
    """This user's token, from HF_TOKEN or the hub's own login. Raises RefusedError without one."""
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise RefusedError(
            "There is no token for the hub.",
            "Nobody has logged in to the hub on this machine as this user.",
            "hf auth login (a token with write access) or set HF_TOKEN; then: robotd upload retry.",
        )
    return str(token)


def check_repo_name(repo: str) -> None:
    """Raise RefusedError for what the hub would not take as `owner/name`."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    problem = "" if repo.count("/") == 1 else "it is not of the form owner/name"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        problem = str(error).splitlines()[0]
    if problem:
        raise RefusedError(
            f"{repo!r} is no repository's name: {problem}.",
            "Names have letters, digits, - _ and . only, and 96 characters at most.",
            "Give one: robotd upload NAME --repo owner/name.",
        )


def endpoint() -> str:
    """The hub that HF_ENDPOINT names, else the hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


class Hub:
    """One hub, with one token. Every method raises WaitError, RefusedError or StoppedError."""

    def __init__(self, endpoint: str, token: str, traffic: Traffic) -> None:
        from huggingface_hub import HfApi, set_client_factory

        set_client_factory(lambda: _client(traffic))
        self.endpoint = endpoint
        self._token = token
        self._api = HfApi(endpoint=endpoint, token=token, library_name="robotd")

    def owner(self) -> str:
        """Whose token it is."""
        with speaking("asking whose token this is", self._token):
            return str(self._api.whoami()["name"])

    def ensure_repo(self, repo: str, private: bool) -> None:
        """Make the repository if there is none.

        Raises RefusedError when it is there and everybody may read it, though it was to be private.
        """
        from huggingface_hub.errors import RepositoryNotFoundError

        with speaking(f"looking at {repo}", self._token):
            try:
                found = self._api.repo_info(repo, repo_type=_TYPE)
            except RepositoryNotFoundError:
                found = None
        if found is None:
            with speaking(f"making {repo}", self._token):
                self._api.create_repo(repo, repo_type=_TYPE, private=private, exist_ok=True)
                found = self._api.repo_info(repo, repo_type=_TYPE)
        if private and found.private is False:
            raise RefusedError(
                f"{repo} is public, and this upload was to be private.",
                "The repository was there before, and everybody may read it.",
                "Allow it (robotd upload NAME --public), make the repository private on the hub, "
                "or give another one: --repo owner/name.",
            )

    def head(self, repo: str) -> str:
        """The commit that the branch is at."""
        with speaking(f"looking at {repo}", self._token):
            return _commit_id(self._api.repo_info(repo, repo_type=_TYPE, revision=_MAIN).sha)

    def listing(self, repo: str, commit: str) -> dict[str, Remote]:
        """Every file at `commit`, by path."""
        from huggingface_hub.hf_api import RepoFile

        with speaking(f"listing {repo}", self._token):
            entries = self._api.list_repo_tree(
                repo, repo_type=_TYPE, revision=commit, recursive=True
            )
            return {
                entry.path: Remote(
                    int(entry.size),
                    entry.lfs.sha256 if entry.lfs is not None else entry.blob_id,
                    entry.lfs is not None,
                )
                for entry in entries
                if isinstance(entry, RepoFile)
            }

    def operations(self, files: Iterable[Local]) -> list[Any]:
        """What `send` and `commit` take, made from files that are to be added. ChangedError when
        one is gone."""
        from huggingface_hub import CommitOperationAdd

        files = list(files)
        for each in files:
            if isinstance(each.source, Path) and not each.source.is_file():
                raise gone(str(each.source))
        with speaking("reading the dataset", self._token):
            return [CommitOperationAdd(each.path, each.source) for each in files]

    def send(self, repo: str, operations: Sequence[Any]) -> None:
        """Bring the large ones of these files to the hub's storage; what is there is not sent."""
        with speaking(f"sending files to {repo}", self._token):
            self._api.preupload_lfs_files(
                repo, operations, repo_type=_TYPE, num_threads=_THREADS, free_memory=False
            )

    def commit(
        self, repo: str, added: Sequence[Any], deleted: Sequence[str], words: str, parent: str
    ) -> str:
        """One commit on top of `parent`; returns its id. WaitError when the branch moved."""
        from huggingface_hub import CommitOperationDelete

        operations = [*added, *(CommitOperationDelete(path, is_folder=False) for path in deleted)]
        with speaking(f"committing to {repo}", self._token):
            info = self._api.create_commit(
                repo,
                operations,
                commit_message=words,
                repo_type=_TYPE,
                parent_commit=parent,
                num_threads=_THREADS,
            )
            return _commit_id(info.oid)

    def tag(self, repo: str, tag: str) -> str:
        """The commit that `tag` is on; "" where there is no such tag."""
        with speaking(f"reading the tags of {repo}", self._token):
            refs = self._api.list_repo_refs(repo, repo_type=_TYPE)
            return next((str(each.target_commit) for each in refs.tags if each.name == tag), "")

    def move_tag(self, repo: str, tag: str, commit: str) -> None:
        """Put `tag` on `commit`. The hub can only remove and make: for a moment there is none."""
        now = self.tag(repo, tag)
        if now == commit:
            return
        with speaking(f"tagging {repo}", self._token):
            if now:
                self._api.delete_tag(repo, tag=tag, repo_type=_TYPE)
            self._api.create_tag(repo, tag=tag, revision=commit, repo_type=_TYPE, exist_ok=True)
        if self.tag(repo, tag) != commit:
            raise WaitError(
                f"The tag {tag} of {repo} is not where it was put.",
                "Somebody else moved it, or the hub has not caught up yet.",
                "Nothing: it is put there again.",
            )

    def remove_tag(self, repo: str, tag: str) -> None:
        """Take `tag` off, if it is there."""
        if self.tag(repo, tag):
            with speaking(f"taking a tag off {repo}", self._token):
                self._api.delete_tag(repo, tag=tag, repo_type=_TYPE)


def _commit_id(said: object) -> str:
    if isinstance(said, str) and len(said) == _OID_CHARACTERS:
        return said
    raise ValueError(f"{said!r} is no commit")


class _Client(httpx.Client):
    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return super().send(request, **options)
        except httpx.TransportError as error:
            raise LineError(f"{type(error).__name__}: {error}") from error


def _client(traffic: Traffic) -> httpx.Client:
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import OfflineModeIsEnabled

    def before(request: httpx.Request) -> None:
        if is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        traffic.hook(request)

    return _Client(
        event_hooks={"request": [before], "response": [_raise_when_busy]},
        follow_redirects=True,
        timeout=_TIMEOUT,
        verify=trusted(),
    )


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are trusted: read once, which takes longer than many an attempt."""
    return httpx.create_ssl_context()


def _raise_when_busy(response: httpx.Response) -> None:
    status = response.status_code
    if status not in _BUSY and status != 409:
        return
    response.read()
    if status == 409 and _CONCURRENT_CREATE not in response.text:
        return  # it exists already: the client knows what to do
    asked = response.headers.get("Retry-After", "")
    text = response.headers.get("X-Error-Message", "")
    raise BusyError(status, float(asked) if asked.isdigit() else _reset_s(response), text)


def _reset_s(response: httpx.Response) -> float | None:
    """The hub's own header of the IETF draft on rate limits says when its window ends."""
    from huggingface_hub.utils import parse_ratelimit_headers

    if response.status_code != 429:
        return None
    found = parse_ratelimit_headers(response.headers)
    return float(found.reset_in_seconds) if found is not None else None
