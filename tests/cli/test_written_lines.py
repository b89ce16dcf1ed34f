"""What remedies and pages tell a person to type is a line that its command takes: its verb, its
options, what it requires. Only parsed, never run."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import NoReturn

import pytest

from daemon.cli.main import ROOMS, commands
from tui.actions import ACTIONS

ROOT = Path(__file__).parents[2]
FOLDERS = ("robotd", "config", "drivers", *ROOMS)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_LINE = re.compile(
    r"(?<![\w/.-])robotd (?P<rest>(?:\"[^\"]*\"|'[^']*'|[^`;\n)#(&>])*?)"
    r"(?=$|[`;\n)#(&>]|[.,:]? robotd |[.,:](?:\s|$)|\s\s| \|)"
)
# What stands for NAME, N and their like, and for what a program fills in: numbers are names too.
_NAMED, _FILLED = "3", "7"
_OURS = {"--hardware", "VERB", "WHAT", "PART", "action"}
"""What argparse calls the verbs and switches that no text may leave to the person."""
_UNSAID = ("are required", "expected one argument", "not allowed with", "invalid choice: '3'")
"""What a text that only names a command may have against it: it is incomplete, or a synopsis."""


class _RefusedError(Exception):
    """argparse's words."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _RefusedError(message)


@cache
def _parser(command: str) -> _Parser:
    parser = _Parser(prog=f"robotd {command}", exit_on_error=False)
    import_module(commands()[command].module).configure(parser)
    return parser


def _said(command: str, arguments: list[str], open_ended: bool) -> str | None:
    """What argparse has against it; None: nothing. `open_ended`: values that only the person knows
    (a name, a task) may be missing; a verb and a switch may not."""
    try:
        _parser(command).parse_args(arguments)
    except (_RefusedError, argparse.ArgumentError) as error:
        words = str(error)
        if "invalid" in words and f"'{_FILLED}'" in words:
            return None
        missing = words.removeprefix("the following arguments are required: ")
        needed = _OURS & set(missing.split(", "))
        return None if open_ended and words != missing and not needed else words
    except SystemExit:
        return None  # --help
    return None


def _alternatives(word: str) -> list[str]:
    """`yes|no` is two lines."""
    return word.split("|") if re.fullmatch(r"[\w-]+(\|[\w-]+)+", word) else [word]


def refused(line: str, *, named: bool = False) -> str | None:
    """What is wrong with `line`, the words after `robotd`; None: nothing.

    Prose may follow the command, but no option may be in it. A line without options, or one that
    ends in `…`, leaves the person's own values out. `named`: it names the command for a reader
    (a docstring, a word in a page) and may leave out everything that it requires.
    """
    open_ended = line.endswith("…")
    line = re.sub(r"(?<= )(?!-)(\S+) …(?= )|[\[\]]", r"\1", line)
    line = re.sub(r"\{\}|<[^>]*>|…|\s$", f" {_FILLED}", line)
    line = re.sub(r"\b[A-Z]+(\|[A-Z]+)*\b", _NAMED, line)
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    if not words or words[0].split("|")[0] not in commands():
        return None
    first: str | None = None
    for end in range(len(words), 0, -1):
        if any(word.startswith("-") for word in words[end:]):
            break
        bare = not any(word.startswith("-") for word in words[:end])
        said = [
            _said(command, list(arguments), open_ended or bare)
            for command, *arguments in product(*map(_alternatives, words[:end]))
        ]
        wrong = next((each for each in said if each is not None), None)
        if wrong is None or (named and any(each in wrong for each in _UNSAID)):
            return None
        first = first or wrong
    return first


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _strings(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Every string of a module: its line, its text, whether it describes the code beside it."""
    parts, describing = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(each) for each in ast.walk(node) if each is not node}
        if isinstance(node, ast.Expr):
            describing.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and id(node) not in parts:
            text = _text(node)
            if text is not None:
                yield node.lineno, text, id(node) in describing


def _lines_of(text: str) -> Iterator[str]:
    """What stands behind `robotd` in it, to where the line ends."""
    for found in _LINE.finditer(text):
        rest = found["rest"]
        yield rest if found.end() == len(text) else rest.rstrip()


def test_every_line_that_the_program_tells_to_type_is_one_that_its_command_takes() -> None:
    """A remedy that argparse refuses leaves the person at the arm with two errors."""
    wrong, seen = [], 0
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for number, text, describing in _strings(ast.parse(file.read_text())):
                for line in _lines_of(text):
                    seen += 1
                    if why := refused(line, named=describing):
                        wrong.append((f"{file.relative_to(ROOT)}:{number}", line, why))
    assert seen > 500
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_of_a_page_is_one_that_its_command_takes(page: Path) -> None:
    text = page.read_text()
    typed = re.findall(r"```sh\n(.*?)```", text, re.S)
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    lines = [(line, False) for block in typed for line in _lines_of(block.replace("\\\n", " "))]
    lines += [(line, True) for span in spans for line in _lines_of(" ".join(span.split()))]
    wrong = [(line, why) for line, named in lines if (why := refused(line, named=named))]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "dataset relabel NAME --success EPISODES",
        "selftest",
        "blackbox",
        "record --sim",
        "dataset convert NAME --gripper 100x",
        "dataset repair NAME",
    ],
)
def test_a_line_that_a_command_refuses_is_noticed(line: str) -> None:
    assert refused(line)


def test_the_keys_that_end_a_left_open_episode_are_the_keys_of_the_screen() -> None:
    told = (ROOT / "daemon" / "recorder" / "service.py").read_text()
    does = {key: action.name for action in ACTIONS for key in action.keys}
    assert (does["right"], does["backspace"]) == ("keep", "discard")
    assert "→ keeps it, Backspace throws it away" in told
