"""The editing verbs as a person types them: what they ask, say and refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import main
from daemon.recorder import catalog, dataset, transaction
from daemon.recorder.info import INFO, load_info
from dataset.numbers import numbers_in, words
from robotd.errors import StateError

from ..recording.conftest import tmp_path  # noqa: F401
from ..recording.episodes import make_spec, write_episode
from ..recording.test_dataset import KilledError, content, kill_at


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """LeRobot's home with me/pick: four episodes of one camera."""
    home = tmp_path / "home"
    monkeypatch.setenv("HF_LEROBOT_HOME", str(home))
    root = home / "me/pick"
    spec = make_spec(root, cameras=make_spec(root).cameras[:1])
    for number in range(4):
        journal = write_episode(tmp_path / f"j{number}", spec, 4 + number, first=number * 20)
        dataset.publish(journal)
    return root


def says(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a verb prints as JSON."""
    capsys.readouterr()
    assert main(["dataset", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_episodes_are_deleted_relabelled_joined_and_given_back(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(recorded)
    assert says(capsys, "tag", "me/pick", "as-recorded")["tags"][0]["frames"] == 22
    found = says(capsys, "delete-episode", "me/pick", "1,3", "--yes")
    assert (found["deleted"], found["left"]) == ([1, 3], 2)
    says(capsys, "relabel", "me/pick", "--episodes", "0-1", "--success", "no", "--yes")
    about = catalog.read_episode_about(recorded, 1)
    assert about is not None and about.label.success is False
    assert says(capsys, "compact", "me/pick")["files_after"] == 6
    assert catalog.read_info(recorded).lengths == (4, 6)
    undone = says(capsys, "undo", "me/pick", "--to", "as-recorded", "--yes")["undone"]
    assert [each["what"].split()[0] for each in undone] == ["compact", "relabel", "delete-episode"]
    assert content(recorded) == before
    assert len(says(capsys, "undo", "me/pick", "--yes")["undone"]) == 1
    assert says(capsys, "tag", "me/pick")["tags"] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("delete-episode", "me/pick", "4", "--yes"), "has no episode 4"),
        (("delete-episode", "me/pick", "0-3", "--yes"), "is all that"),
        (("delete-episode", "me/pick", "3-1", "--yes"), "'3-1' is not the number"),
        (("delete-episode", "me/pick", "1"), "Nobody can be asked"),
        (("relabel", "me/pick", "--episodes", "1", "--yes"), "Nothing was said"),
        (("relabel", "me/pick", "--episodes", "1", "--task", " ", "--yes"), "task is empty"),
        (("tag", "me/pick", "v3.0"), "tag of a version"),
        (("tag", "me/pick", "a b"), "not a name for a tag"),
        (("undo", "me/pick", "--to", "never", "--yes"), "has no tag never"),
        (("merge", "me/pick", "--into", "me/other"), "only one dataset"),
        (("merge", "me/pick", "me/pick", "--into", "me/pick"), "exists"),
        (("compact", "me/elsewhere"), "no dataset 'me/elsewhere'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    recorded: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    before = content(recorded)
    assert main(["dataset", *words]) == 1
    assert says in capsys.readouterr().err
    assert content(recorded) == before


def test_a_dataset_between_two_renames_is_found_again(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        with pytest.raises(KilledError):
            main(["dataset", "delete-episode", "me/pick", "0", "--yes"])
    assert not (recorded / INFO).exists() and (recorded / transaction.INTENT).exists()
    assert [each["episodes"] for each in says(capsys, "list")] == [3]
    info = load_info(recorded)
    assert info is not None and info["total_episodes"] == 3


def test_numbers_are_read_as_they_are_written() -> None:
    assert numbers_in("3, 7-9,8") == {3, 7, 8, 9}
    assert words({3, 7, 8, 9}) == "episodes 3, 7-9"
    assert words({5}) == "episode 5"
    for text in ("", "-1", "a", "1-", "5-2", "1-99999999"):
        with pytest.raises(StateError):
            numbers_in(text)
