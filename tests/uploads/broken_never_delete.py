"""An uploader that is wrong: what was taken out stays on the hub, and nobody looks."""

from typing import Any

from uploads import carry

_commits = carry.commits


def _without_deletions(change: Any) -> Any:
    return [(added, ()) for added, _ in _commits(change)]


carry.commits = _without_deletions
carry._verify = lambda *_: None
