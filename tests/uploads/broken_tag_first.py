"""An uploader that is wrong: the tag is moved before the files are there."""

from typing import Any

from uploads import carry

_send = carry._send


def _tag_and_send(hub: Any, repo: str, *rest: Any) -> Any:
    hub.move_tag(repo, "v3.0", hub.head(repo))
    return _send(hub, repo, *rest)


carry._send = _tag_and_send
