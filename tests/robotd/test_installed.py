"""A remedy that installs something reaches the environment that runs, however it was made."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from robotd.installed import Installation, here, install_again, uv_pip

ROOT = Path(__file__).parents[2]
CLONE = {"url": "file:///home/me/robotd", "dir_info": {"editable": True}}
COPY = {"url": "file:///home/me/my%20robotd", "dir_info": {}}
# As uv 0.13 writes it.
RECEIPT: dict[str, Any] = {
    "requirements": [
        {"name": "robotd", "extras": ["policy"], "directory": "/home/me/my robotd"},
        {"name": "lerobot"},
        {"name": "s3fs"},
    ],
    "python": "3.12",
    "entrypoints": [{"name": "robotd", "from": "robotd"}, {"name": "lerobot-x", "from": "lerobot"}],
}
TOOL = Installation(Path("/home/me/.local/share/uv/tools/robotd"), COPY, RECEIPT)


def test_in_a_uv_tool_an_extra_comes_beside_what_the_tool_was_made_with() -> None:
    assert shlex.split(install_again("ray", where=TOOL)) == [
        *("uv", "tool", "install", "--force", "--python", "3.12"),
        *("--with-executables-from", "lerobot", "--with", "s3fs"),
        "/home/me/my robotd[policy,ray]",
    ]


def test_a_light_tool_that_gets_the_policies_gets_lerobots_commands_too() -> None:
    light = Installation(TOOL.prefix, COPY, {"requirements": [{"name": "robotd"}]})
    line = shlex.split(install_again("policy", where=light))
    assert line[4:] == ["--with-executables-from", "lerobot", "/home/me/my robotd[policy]"]


def test_in_a_clone_it_is_uv_sync_there_and_nothing_that_was_there_goes() -> None:
    clone = Installation(Path("/home/me/robotd/.venv"), CLONE)
    assert install_again("policy", "jax", where=clone) == (
        "uv sync --project /home/me/robotd --inexact --extra policy --extra jax"
    )
    light = Installation(Path("/home/me/robotd/.venv"), CLONE, light=True)
    assert "--no-default-groups" in install_again("policy", where=light)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (COPY, "/home/me/my robotd[upload]"),
        (CLONE, "/home/me/robotd[upload]"),  # editable, but not the clone's own environment
        (
            {"url": "https://host/robotd", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "robotd[upload] @ git+https://host/robotd@v1",
        ),
        (
            {"url": "file:///a/robotd.whl", "archive_info": {}},
            "robotd[upload] @ file:///a/robotd.whl",
        ),
        ({}, "robotd[upload]"),
    ],
)
def test_anywhere_else_it_is_installed_from_where_it_came(url: dict[str, Any], wanted: str) -> None:
    other = Installation(Path("/opt/venv"), url)
    line = shlex.split(install_again("upload", where=other))
    assert line == ["uv", "pip", "install", "--python", "/opt/venv", wanted]


def test_a_single_package_goes_into_this_environment() -> None:
    assert uv_pip("install", "jax[cuda12]==0.7", where=TOOL) == (
        f"uv pip install --python {TOOL.prefix} 'jax[cuda12]==0.7'"
    )


def test_the_receipt_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert not here().receipt
    (tmp_path / "uv-receipt.toml").write_text(
        '[tool]\nrequirements = [{ name = "robotd", extras = ["policy"] }]\n'
    )
    assert install_again("zoo").startswith("uv tool install --force")
    assert "policy,zoo" in install_again("zoo")


def test_no_other_module_says_how_robotd_is_installed() -> None:
    """Or its line is one for an environment that nobody runs."""
    rooms = [each for each in ROOT.iterdir() if (each / "__init__.py").exists()]
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for room in rooms
        for file in room.rglob("*.py")
        if file != ROOT / "robotd" / "installed.py" and room.name != "tests"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"uv (sync -|pip |tool install)|pip install '?robotd", node.value)
    ]
    assert wrong == []
