"""What goes wrong between the dataset and the hub, in three sentences: wait, or ask a person.

Everything the client raises is put into one of the two here. The token is taken out of every
sentence before anybody can store or print it.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from robotd.errors import RobotdError
from uploads.traffic import StoppedError

_LOGIN = "hf auth login (a token with write access), then: robotd upload retry."
_LIMIT = 300


class UploadError(RobotdError):
    """An upload that did not come to its end. Nothing is lost: the hub is asked anew each time."""


class WaitError(UploadError):
    """It will pass: tried again by itself, after `retry_after_s` at the earliest where given."""

    def __init__(self, what: str, likely: str, do: str, retry_after_s: float | None = None) -> None:
        super().__init__(what, likely, do)
        self.retry_after_s = retry_after_s


class RefusedError(UploadError):
    """It will not pass by itself: a person has to do something."""


class ChangedError(UploadError):
    """The dataset changed while it was read: begin anew with what is committed now."""


class BusyError(Exception):
    """The hub answered that it cannot now: `status` 408, 409, 429 or 5xx. Raised by the client's
    response hook, past the client's own back-off: there is one patience, the queue's."""

    def __init__(self, status: int, retry_after_s: float | None, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status
        self.retry_after_s = retry_after_s
        self.text = text


class LineError(Exception):
    """The connection failed: no route, no name, cut, too slow."""


@contextmanager
def speaking(doing: str, token: str) -> Iterator[None]:
    """Around calls of the hub's client and nothing else: whatever it raises becomes an UploadError.

    `doing` is what was tried ("listing the repository"). StoppedError and UploadError pass.
    """
    try:
        yield
    except (StoppedError, UploadError):
        raise
    except Exception as error:
        causes = list(_causes(error))
        if any(isinstance(each, StoppedError) for each in causes):
            raise StoppedError from error
        raise _explained(causes, doing, token) from error


def without_token(text: str, token: str) -> str:
    """The text with the token blotted out."""
    return text.replace(token, "hf_…") if token else text


def _explained(causes: list[BaseException], doing: str, token: str) -> UploadError:
    for each in causes:
        if isinstance(each, BusyError):
            return _busy(each, doing, token)
        if isinstance(each, LineError):
            return WaitError(
                f"The hub cannot be reached ({doing}: {_short(each, token)}).",
                "This machine is offline, or the hub is.",
                "Nothing: it goes on by itself once the network is back.",
            )
        if type(each).__name__ == "OfflineModeIsEnabled":
            return WaitError(
                "HF_HUB_OFFLINE is set, so nothing is sent.",
                "It was set for this shell or this machine.",
                "Unset it and start the uploader from there: robotd upload retry.",
            )
        if isinstance(each, httpx.HTTPStatusError) or hasattr(each, "response"):
            response = getattr(each, "response", None)
            if isinstance(response, httpx.Response):
                return _answered(response, doing, token)
        if isinstance(each, OSError) and each.errno is not None:
            return disk_trouble(each)
    last = causes[0]
    if "Invalid metadata in README.md" in str(last):
        return RefusedError(
            f"The hub does not take the dataset card: {_short(last, token, ': ')}.",
            "The licence is not one of the hub's words for licences.",
            "Queue it again with one of them: robotd upload NAME --licence apache-2.0.",
        )
    if type(last).__name__ == "HFValidationError":
        return RefusedError(
            f"The hub takes no such name: {_short(last, token)}.",
            "The repository's name was mistyped.",
            "Queue it under another one: robotd upload NAME --repo owner/name.",
        )
    return WaitError(
        f"The hub answered something else than a hub does ({doing}: {_short(last, token)}).",
        "A sign-in page of the network (hotel, guest Wi-Fi), a proxy, or a wrong HF_ENDPOINT.",
        "Open a browser on this network and sign in; it is tried again by itself.",
    )


def _busy(error: BusyError, doing: str, token: str) -> WaitError:
    what = f"The hub answered {error.status} ({doing}"
    text = without_token(error.text, token).strip()
    said = f": {text})." if text else ")."
    if error.status == 429:
        return WaitError(
            what + said,
            "Too many requests in a short time, by this account or from this address.",
            "Nothing: it goes on when the hub's waiting time is over.",
            error.retry_after_s,
        )
    return WaitError(
        what + said,
        "The hub has a disturbance, or is being worked on.",
        "Nothing: it is tried again by itself. See status.huggingface.co if it lasts.",
        error.retry_after_s,
    )


def _answered(response: httpx.Response, doing: str, token: str) -> UploadError:
    status = response.status_code
    said = without_token(_words(response), token)
    what = f"The hub answered {status} ({doing}): {said}"
    if _from_storage(response):
        return WaitError(
            what,
            "The storage behind the hub did not get the file whole, or the address that the hub "
            "gave for it has expired.",
            "Nothing: the hub is asked for a new one.",
        )
    if status == 401:
        return RefusedError(
            what, "The token is wrong, expired, or there is none.", f"Log in again: {_LOGIN}"
        )
    if status in (402, 403):
        return RefusedError(
            what,
            "The token may only read, the repository is under somebody else's name, or the "
            "account's private storage is used up.",
            f"Use a name of yours (--repo owner/name), or: {_LOGIN}",
        )
    if status == 404 and response.headers.get("X-Error-Code") == "RepoNotFound":
        return RefusedError(
            what,
            "The repository was removed or renamed, or this token cannot see it.",
            "Queue it again (robotd upload NAME --repo owner/name), or: " + _LOGIN,
        )
    if status in (404, 412):
        return WaitError(
            what,
            "Somebody else changed the repository meanwhile.",
            "Nothing: the hub is compared anew.",
        )
    return RefusedError(
        what,
        "The hub does not take this request.",
        "Read its words above; mend what they name, then: robotd upload retry.",
    )


def _from_storage(response: httpx.Response) -> bool:
    """Whether it is not the hub's API that answered, but where large files go."""
    path = response.request.url.path
    return "/api/" not in path and ".git/info/lfs" not in path


def disk_trouble(error: OSError) -> UploadError:
    """A file of the dataset that the disk does not give, or that is gone."""
    name = error.filename or "A file of the dataset"
    if error.errno == errno.ENOENT:
        return gone(str(name))
    return RefusedError(
        f"{name} cannot be read: {error.strerror or error}.",
        "The disk fails, was unplugged, or the file's permissions were changed.",
        "Look: dmesg | tail, ls -l. Save what is there elsewhere; then: robotd upload retry.",
    )


def gone(name: str) -> ChangedError:
    """A file that was committed when the upload began, and is not there any more."""
    return ChangedError(
        f"{name} is no longer there.",
        "An episode was taken out while it was on its way.",
        "Nothing: it begins anew with what is in the dataset now.",
    )


def _words(response: httpx.Response) -> str:
    said = response.headers.get("X-Error-Message")
    if said:
        return str(said)[:_LIMIT] + "."
    try:
        body = json.loads(response.text)
        return str(body.get("error", body))[:_LIMIT] + "."
    except (ValueError, AttributeError, httpx.HTTPError, httpx.StreamError):
        return "no words of its own."


def _short(error: BaseException, token: str, joined_by: str = "") -> str:
    """The error in one line: its first, or with `joined_by` all of them."""
    lines = str(error).strip().splitlines()
    text = joined_by.join(lines) if joined_by else "".join(lines[:1])
    return without_token(f"{type(error).__name__} {text}".strip()[:_LIMIT], token)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from, outermost first."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__
