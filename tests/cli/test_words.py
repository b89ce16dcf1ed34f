"""What the command line and the errors tell a person to type exists."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from bench.command import BENCHMARKS
from daemon.cli.keys import split_keys
from daemon.cli.main import ROOMS, commands, main
from dataset.command import VERBS as DATASET
from policies.ckpt_command import VERBS as CKPT
from robotd.errors import RobotdError

ROOT = Path(__file__).parents[2]
ROOM_FOLDERS = ("robotd", "config", "drivers", *ROOMS)
_TYPED = re.compile(r"robotd ([a-z]+(?:-[a-z]+)*)")
# After the program's name these words tell what it does; they are not commands.
_VERBS = {"that", "runs", "on", "reopens", "ships", "does", "keeps", "reads", "writes", "correct"}
_VERBS |= {"plays", "fills", "with"}


def _constants(node: ast.AST) -> str:
    parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return " ".join(part for part in parts if isinstance(part, str))


def _remedies() -> list[tuple[str, str]]:
    """The texts that say what to do: the third part of every error, and every `do=`."""
    kinds = {kind.__name__ for kind in RobotdError.__subclasses__()}
    kinds |= {
        sub.__name__ for kind in RobotdError.__subclasses__() for sub in kind.__subclasses__()
    }
    found = []
    for folder in ROOM_FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                where = f"{file.relative_to(ROOT)}:{node.lineno}"
                if getattr(node.func, "id", "") in kinds and len(node.args) == 3:
                    found.append((where, _constants(node.args[2])))
                found += [(where, _constants(k.value)) for k in node.keywords if k.arg == "do"]
    return found


def test_every_command_that_a_remedy_names_exists() -> None:
    remedies = _remedies()
    assert len(remedies) > 100
    known = set(commands()) | _VERBS
    wrong = [
        (where, word)
        for where, text in remedies
        for word in _TYPED.findall(text)
        if word not in known
    ]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_tells_what_it_is_for_and_takes_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(commands()[name].module)
    assert module.__doc__
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"robotd {name}" in capsys.readouterr().out


VERBS = [
    (group, name, module)
    for group, verbs in (("dataset", DATASET), ("ckpt", CKPT), ("bench", BENCHMARKS))
    for name, (_, module) in verbs.items()
]


@pytest.mark.parametrize(("group", "name", "module"), VERBS)
def test_the_help_of_a_verb_is_what_its_module_says(
    group: str, name: str, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([group, name, "--help"])
    shown = capsys.readouterr().out
    described = import_module(module).__doc__
    assert described and described.strip() in shown


def test_the_help_of_a_check_tells_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dataset", "check", "--help"])
    assert "Exit status: 0" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(commands()))
def test_no_help_is_about_the_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert "configure(" not in shown and "run(args)" not in shown


def test_an_unknown_command_is_refused_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["statsu"]) == 2
    assert "'status'" in capsys.readouterr().err


def test_keys_typed_together_are_all_heard_and_a_stop_first() -> None:
    assert split_keys("\x1b[C\x1b[D") == ["keep", "redo"]
    assert split_keys(" nx") == ["estop", "toggle", "keep"]
    assert split_keys("\x1b[24~") == ["estop"]
    assert split_keys("\x1bOC") == ["keep"]
    assert split_keys("\x1b") == ["stop"]


def test_keys_that_mean_nothing_here_mean_nothing() -> None:
    assert split_keys("\x1b[5~zz\x1b[1;5A") == []
