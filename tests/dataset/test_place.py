"""A dataset's name means the same folder to every verb."""

import json
from pathlib import Path

import pytest

from daemon.cli.main import main
from dataset.place import beside, dataset_at, is_download, name_of, new_dataset_at
from robotd.errors import DatasetError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LeRobot's home with one dataset, me/pick, in it."""
    home = tmp_path / "home"
    monkeypatch.setenv("HF_LEROBOT_HOME", str(home))
    (home / "me/pick/meta").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return home


def download(home: Path, name: str = "theirs--set", commit: str = "0123abc") -> Path:
    cache = home / f"hub/datasets--{name}"
    (cache / f"snapshots/{commit}/meta").mkdir(parents=True)
    (cache / "refs").mkdir(exist_ok=True)
    (cache / "refs/v3.0").write_text(commit)
    return cache / f"snapshots/{commit}"


def test_a_name_is_looked_for_under_lerobots_home(home: Path) -> None:
    assert dataset_at("me/pick") == home / "me/pick"
    assert name_of(home / "me/pick") == "me/pick"


def test_a_folder_is_taken_as_a_path_in_every_spelling(home: Path, tmp_path: Path) -> None:
    (tmp_path / "here/a b/meta").mkdir(parents=True)
    wanted = tmp_path / "here/a b"
    for text in (str(wanted), "./a b", "a b", "../here/a b"):
        assert dataset_at(text).resolve() == wanted
    assert name_of(wanted) == "a b"


def test_a_name_wins_over_a_folder_here_which_a_dot_names(home: Path, tmp_path: Path) -> None:
    (tmp_path / "here/me/pick/meta").mkdir(parents=True)
    assert dataset_at("me/pick") == home / "me/pick"
    assert dataset_at("./me/pick").resolve() == tmp_path / "here/me/pick"


@pytest.mark.parametrize("text", ["me/pock", "", "me", "hub", "../../etc/nothing", "./nothing"])
def test_what_is_no_dataset_is_said_in_three_parts(home: Path, text: str) -> None:
    with pytest.raises(DatasetError, match="There is no dataset"):
        dataset_at(text)


def test_a_download_is_found_by_its_name_and_never_edited(home: Path) -> None:
    snapshot = download(home)
    assert dataset_at("theirs/set") == snapshot
    assert is_download(snapshot)
    assert name_of(snapshot) == "theirs/set"
    with pytest.raises(DatasetError, match="download"):
        dataset_at("theirs/set", editable=True)
    assert beside(snapshot, "fixed") == home / "theirs/set-fixed"


def test_a_new_dataset_never_takes_the_place_of_another(home: Path) -> None:
    assert new_dataset_at("me/new") == home / "me/new"
    with pytest.raises(DatasetError, match="exists"):
        new_dataset_at("me/pick")
    with pytest.raises(DatasetError, match="not the name"):
        new_dataset_at("a/b/c")
    (home / "me/pick-fixed").mkdir()
    assert beside(home / "me/pick", "fixed") == home / "me/pick-fixed-2"


def test_info_takes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "set"
    (root / "meta/episodes").mkdir(parents=True)
    (root / "meta/info.json").write_text(
        json.dumps(
            {
                "codebase_version": "v3.0",
                "fps": 30,
                "features": {},
                "total_episodes": 0,
                "total_frames": 0,
            }
        )
    )
    assert main(["dataset", "info", str(root)]) == 0
    assert str(root) in capsys.readouterr().out
