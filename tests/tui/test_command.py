"""`robotd tui` where no screen can be shown."""

import argparse
import sys

import pytest

from robotd.errors import StateError
from tui.command import run

ARGS = argparse.Namespace(name=None, ascii=False)


def test_a_pipe_is_refused_with_the_commands_that_need_no_screen() -> None:
    with pytest.raises(StateError, match="robotd status"):
        run(ARGS)


def test_a_dumb_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(StateError, match="dumb"):
        run(ARGS)
