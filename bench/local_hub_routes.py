"""The hub's HTTP API as `huggingface_hub` speaks it: a request in, an answer out; no sockets.

The paths, bodies and headers are those that the client of version 1 sends and reads: who am I,
create, info, preupload, the large-file batch with its PUT and verification, commits as lines of
JSON, the listing in pages, refs, tags, and files to download.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

from bench.local_hub_store import Blob, Change, MissingError, MovedError, Repo, Store, is_large

_NAME = r"(?P<repo>[^/]+/[^/]+)"
_API = rf"/api/datasets/{_NAME}"
_WRITES = {"POST", "PUT", "DELETE"}
_LICENCES = ("apache-2.0", "mit", "cc-by-4.0")  # the first few of the hub's list
_REPO_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` still has its query; `token` is "" without one."""

    method: str
    path: str
    token: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def said(status: int, data: Any, **headers: str) -> Answer:
    """An answer of JSON; `headers` are given with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(data).encode(), {"Content-Type": "application/json"} | named)


def refused(status: int, code: str, message: str) -> Answer:
    """An error as the hub says it: in its body and in two headers."""
    return said(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)


class Routes:
    """The API over a `Store`. `token` may write for `user`; `reader` may only read."""

    def __init__(self, store: Store, user: str, token: str, reader: str, page_size: int) -> None:
        self.store = store
        self.user = user
        self.endpoint = ""
        self._tokens = {token: True, reader: False}
        self._page_size = page_size
        table: list[tuple[str, str, Callable[[Request, dict[str, str]], Answer]]] = [
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/validate-yaml", self._validate_yaml),
            ("POST", r"/api/repos/create", self._create),
            ("GET", rf"{_API}(/revision/(?P<rev>[^/]+))?", self._info),
            ("POST", rf"{_API}/preupload/(?P<rev>[^/]+)", self._preupload),
            ("POST", rf"{_API}/commit/(?P<rev>[^/]+)", self._commit),
            ("GET", rf"{_API}/tree/(?P<rev>[^/]+)", self._tree),
            ("GET", rf"{_API}/refs", self._refs),
            ("POST", rf"{_API}/tag/(?P<rev>[^/]+)", self._tag),
            ("DELETE", rf"{_API}/tag/(?P<rev>[^/]+)", self._untag),
            ("POST", rf"/datasets/{_NAME}\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/large/(?P<oid>[0-9a-f]{64})", self._large),
            ("POST", r"/large-verify", self._large_verify),
            ("GET", rf"/datasets/{_NAME}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", self._resolve),
            ("HEAD", rf"/datasets/{_NAME}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", self._resolve),
        ]
        self._table = [(method, re.compile(path), answer) for method, path, answer in table]

    def answer(self, request: Request) -> Answer:
        """Do what was asked for and say so. Never raises for anything a client sends."""
        path = urlsplit(request.path).path
        for method, pattern, answer in self._table:
            match = pattern.fullmatch(path)
            if match is None or method != request.method:
                continue
            named = {key: unquote(value or "") for key, value in match.groupdict().items()}
            denied = self._denied(request, path)
            if denied is not None:
                return denied
            try:
                return answer(request, named)
            except MissingError as error:
                name = named.get("repo", "")
                code = "EntryNotFound" if name in self.store.repos else "RepoNotFound"
                return refused(404, code, str(error))
            except (KeyError, ValueError, TypeError) as error:
                return refused(400, "BadRequest", f"{type(error).__name__}: {error}")
        return refused(404, "NotFound", f"no such page: {path}")

    def _denied(self, request: Request, path: str) -> Answer | None:
        if path.startswith("/large/"):  # its address is the permission, as with a signed one
            return None
        if request.token not in self._tokens:
            words = "Invalid credentials in Authorization header"
            return refused(401, "", words if request.token else "Invalid username or password.")
        writes = request.method in _WRITES and path != "/api/validate-yaml"
        if writes and not self._tokens[request.token]:
            return refused(403, "", "You don't have the required permissions")
        return None

    def _whoami(self, request: Request, _: dict[str, str]) -> Answer:
        role = "write" if self._tokens[request.token] else "read"
        about = {"accessToken": {"displayName": "local", "role": role}}
        return said(200, {"type": "user", "name": self.user, "orgs": [], "auth": about})

    def _validate_yaml(self, request: Request, _: dict[str, str]) -> Answer:
        card = json.loads(request.body)["content"]
        front = yaml.safe_load(card.split("---\n")[1])
        errors = []
        if front.get("license", _LICENCES[0]) not in _LICENCES:
            errors = [{"message": f'"license" must be one of {", ".join(_LICENCES)}'}]
        return said(400 if errors else 200, {"errors": errors, "warnings": []})

    def _create(self, request: Request, _: dict[str, str]) -> Answer:
        asked = json.loads(request.body)
        owner = asked.get("organization") or self.user
        if owner != self.user:
            return refused(403, "", f"You don't have the rights to create a dataset under {owner}")
        if not _REPO_NAME.fullmatch(asked["name"]):
            return refused(400, "BadRequest", f"Invalid repo name: {asked['name']}")
        name = f"{owner}/{asked['name']}"
        url = {"url": f"{self.endpoint}/datasets/{name}", "name": name}
        if self.store.create(name, asked.get("visibility") == "private") is None:
            return said(409, url | {"error": "You already created this dataset repo"})
        return said(200, url)

    def _info(self, _: Request, named: dict[str, str]) -> Answer:
        repo = self.store.repo(named["repo"])
        oid = repo.commit_of(named["rev"] or "main")
        siblings = [{"rfilename": path} for path in sorted(repo.files(oid))]
        about = {"id": repo.name, "sha": oid, "private": repo.private, "siblings": siblings}
        return said(200, about | {"tags": [], "downloads": 0, "likes": 0})

    def _preupload(self, request: Request, named: dict[str, str]) -> Answer:
        repo = self.store.repo(named["repo"])
        files = repo.files(named["rev"])
        answers = []
        for each in json.loads(request.body)["files"]:
            path, sample = each["path"], base64.b64decode(each["sample"])
            large = is_large(path, int(each["size"]), b"\0" not in sample)
            known = files.get(path)
            answers.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": (known.sha256 or known.blob_id) if known is not None else None,
                }
            )
        return said(200, {"files": answers})

    def _batch(self, request: Request, named: dict[str, str]) -> Answer:
        self.store.repo(named["repo"])
        objects = []
        for each in json.loads(request.body)["objects"]:
            told: dict[str, Any] = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.store.large:
                told["actions"] = {
                    "upload": {"href": f"{self.endpoint}/large/{each['oid']}"},
                    "verify": {"href": f"{self.endpoint}/large-verify"},
                }
            objects.append(told)
        return said(200, {"transfer": "basic", "objects": objects})

    def _large(self, request: Request, named: dict[str, str]) -> Answer:
        if not self.store.store_large(named["oid"], request.body):
            return refused(400, "BadDigest", "the content is not what its name says")
        return said(200, {})

    def _large_verify(self, request: Request, _: dict[str, str]) -> Answer:
        asked = json.loads(request.body)
        if len(self.store.large.get(asked["oid"], b"")) != asked["size"]:
            return refused(404, "EntryNotFound", "that content was not uploaded")
        return said(200, {})

    def _commit(self, request: Request, named: dict[str, str]) -> Answer:
        header: dict[str, Any] = {}
        files: dict[str, bytes] = {}
        large: dict[str, str] = {}
        deleted: list[str] = []
        for line in request.body.splitlines():
            each = json.loads(line)
            key, value = each["key"], each["value"]
            if key == "header":
                header = value
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                large[value["path"]] = value["oid"]
            elif key == "deletedFile":
                deleted.append(value["path"])
            else:
                raise ValueError(f"unknown operation {key}")
        parent = str(header.get("parentCommit", ""))
        change = Change(header["summary"], parent, files, large, tuple(deleted))
        try:
            oid = self.store.commit(named["repo"], change)
        except MovedError:
            words = "A commit has happened since. Please refresh and try again."
            return refused(412, "PreconditionFailed", words)
        url = f"{self.endpoint}/datasets/{named['repo']}/commit/{oid}"
        return said(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _tree(self, request: Request, named: dict[str, str]) -> Answer:
        repo = self.store.repo(named["repo"])
        oid = repo.commit_of(named["rev"])
        entries = [_entry(path, blob) for path, blob in sorted(repo.files(oid).items())]
        query = parse_qs(urlsplit(request.path).query)
        first = int(query.get("cursor", ["0"])[0])
        page = entries[first : first + self._page_size]
        more = first + self._page_size
        if more >= len(entries):
            return said(200, page)
        at = f"/api/datasets/{named['repo']}/tree/{quote(oid, safe='')}"
        link = f'<{self.endpoint}{at}?recursive=true&cursor={more}>; rel="next"'
        return said(200, page, Link=link)

    def _refs(self, _: Request, named: dict[str, str]) -> Answer:
        repo = self.store.repo(named["repo"])
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid}
            for name, oid in repo.tags.items()
        ]
        return said(200, {"branches": [branch], "converts": [], "tags": tags})

    def _tag(self, request: Request, named: dict[str, str]) -> Answer:
        tag = json.loads(request.body)["tag"]
        if not self.store.set_tag(named["repo"], tag, named["rev"]):
            return refused(409, "", f"Tag reference exists already: {tag}")
        return said(200, {})

    def _untag(self, _: Request, named: dict[str, str]) -> Answer:
        self.store.delete_tag(named["repo"], named["rev"])
        return said(200, {})

    def _resolve(self, _: Request, named: dict[str, str]) -> Answer:
        repo: Repo = self.store.repo(named["repo"])
        oid = repo.commit_of(named["rev"])
        blob = repo.files(oid).get(named["file"])
        if blob is None:
            raise MissingError(named["file"])
        name = f'"{blob.sha256 or blob.blob_id}"'
        headers = {"ETag": name, "X-Repo-Commit": oid}
        if blob.sha256:
            headers |= {"X-Linked-ETag": name, "X-Linked-Size": str(len(blob.data))}
        return Answer(200, blob.data, headers)


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.blob_id, "path": path}
    entry["size"] = len(blob.data)
    if blob.sha256:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 128}
    return entry
