"""An uploader that is wrong: of every commit one file is forgotten, and nobody looks."""

from typing import Any

from uploads import carry

_commits = carry.commits


def _one_short(change: Any) -> Any:
    return [(added[1:], deleted) for added, deleted in _commits(change)]


carry.commits = _one_short
carry._verify = lambda *_: None
