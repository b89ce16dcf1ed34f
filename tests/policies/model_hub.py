"""A hub of models on this machine: what `huggingface_hub` and a pull ask of one, with faults.

Real HTTP over a real socket. `read` is called with every block that is about to be sent, so that a
test can end the reader's process, or the line, at that very byte.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_API = re.compile(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^/?]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")
_BLOCK_BYTES = 1 << 16


class CutError(Exception):
    """Raised by `read`: the line goes here."""


@dataclass
class Repo:
    """Files at one commit. `gated`: shown, but only given to who has a token."""

    files: dict[str, bytes]
    gated: bool = False
    claims: str = ""  # to be this commit, whatever it holds

    @property
    def commit(self) -> str:
        if self.claims:
            return self.claims
        digest = hashlib.sha1()
        for path, data in sorted(self.files.items()):
            digest.update(path.encode() + hashlib.sha1(data).digest())
        return digest.hexdigest()


@dataclass
class Asked:
    """One request for a file's content: which, and from which byte on."""

    file: str
    start: int


@dataclass
class ModelHub:
    """Repositories by name; `asked` is every content that was asked for, in order."""

    repos: dict[str, Repo] = field(default_factory=dict)
    ranges: bool = True
    read: Callable[[str, int], None] = lambda _file, _at: None
    asked: list[Asked] = field(default_factory=list)
    html: bool = False

    def __enter__(self) -> Self:
        hub = self

        class Bound(_Handler):
            model_hub = hub

        self._server = _Server(("127.0.0.1", 0), Bound)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the middle is what this hub is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model_hub: ModelHub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        hub = self.model_hub
        if hub.html:
            return self._say(200, b"<html>Welcome to Hotel WiFi</html>")
        if match := _API.match(self.path):
            return self._info(match[1], match[2] or "main")
        if match := _FILE.match(self.path):
            return self._file(match[1], match[2], match[3])
        return self._say(404, b"{}")

    def do_HEAD(self) -> None:
        """As the hub's own client asks before it downloads."""
        match = _FILE.match(self.path)
        repo = self.model_hub.repos[match[1]] if match else Repo({})
        data = repo.files.get(match[3] if match else "", b"")
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def _repo(self, name: str, revision: str) -> Repo | None:
        repo = self.model_hub.repos.get(name)
        if repo is None:
            self._say(401, b"{}", **{"X-Error-Message": "Invalid username or password."})
        elif revision not in ("main", repo.commit):
            self._say(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
            return None
        return repo

    def _info(self, name: str, revision: str) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        siblings = []
        for path, data in sorted(repo.files.items()):
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"rfilename": path, "size": len(data), "blobId": git}
            if len(data) > 100_000:
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        about = {"id": name, "sha": repo.commit, "siblings": siblings, "private": False, "tags": []}
        self._say(200, json.dumps(about).encode())

    def _file(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        if repo.gated and not self.headers.get("Authorization"):
            self._say(401, b"{}", **{"X-Error-Code": "GatedRepo"})
            return
        data, start = repo.files[path], 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.model_hub.ranges:
            start = int(asked[1])
        self.model_hub.asked.append(Asked(path, start))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        try:
            for at in range(start, len(data), _BLOCK_BYTES):
                self.model_hub.read(path, at)
                self.wfile.write(data[at : at + _BLOCK_BYTES])
        except CutError:
            self.close_connection = True
            self.connection.close()

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
