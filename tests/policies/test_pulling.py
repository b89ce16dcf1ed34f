"""Pulling checkpoints: whole or gone on with, never half; refusals that say what to do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.checkpoint.container import open_container
from policies.pulling import list_command, pull_command, rm_command, shelf
from policies.pulling.manifest import manifest_of, store_root
from policies.pulling.pull import open_remote, plan, pull
from policies.pulling.remote import RemoteFile, check_paths, needed
from policies.pulling.room import check_room, fleeting
from policies.pulling.shelf import find, kept, local_folder
from policies.pulling.source import parse_source
from robotd.errors import CheckpointError, RobotdError, StateError

from .model_hub import CutError, ModelHub, Repo

GOLDEN = Path(__file__).parents[1] / "data/pi0-golden"
BIG = bytes(range(256)) * (24 << 10)  # 6 MiB


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folders and no token."""
    for name, place in (
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
        ("HF_HOME", "hf"),
    ):
        monkeypatch.setenv(name, str(tmp_path / place))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def hub(person: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    from huggingface_hub import constants

    files = {
        "config.json": b'{"type": "pi0"}',
        "model.safetensors": BIG,
        "pytorch_model.bin": b"pickled",
        "training_state/optimizer.safetensors": b"moments",
    }
    with ModelHub({"me/tiny": Repo(files), "google/closed": Repo(files, gated=True)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(person / "hf/hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(person / "hf/token"))
        url = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        yield hub


def pulled(text: str) -> Path:
    source = parse_source(text)
    remote = open_remote(source)
    return pull(plan(source, remote), remote, sleep=lambda _s: None).path


def test_what_a_policy_needs_arrives_whole_and_pinned(hub: ModelHub) -> None:
    folder = pulled("me/tiny")
    assert (folder / "model.safetensors").read_bytes() == BIG
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {"config.json", "model.safetensors"}
    (only,) = kept()
    assert (only.name, only.revision, only.complete) == (
        "me/tiny",
        hub.repos["me/tiny"].commit,
        True,
    )
    assert local_folder("me/tiny") == folder
    with pytest.raises(CheckpointError, match="no readable header"):
        open_container(Path("me/tiny"))  # the name is enough for every verb (these are no weights)
    asked = len(hub.asked)
    assert pulled("me/tiny") == folder and len(hub.asked) == asked  # nothing is fetched twice


def test_a_pull_killed_in_the_middle_is_gone_on_with(hub: ModelHub, person: Path) -> None:
    """Without the manifest and the part file seven gigabytes would begin again."""
    started: list[subprocess.Popen[bytes]] = []
    part_name = "model.safetensors.part"

    def kill_when_some_is_written(file: str, at: int) -> None:
        if file != "model.safetensors" or at < len(BIG) // 2:
            return
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            parts = list(store_root().rglob(part_name))
            if parts and parts[0].stat().st_size >= 1 << 20:
                os.kill(started[0].pid, signal.SIGKILL)
                raise CutError
            time.sleep(0.01)

    hub.read = kill_when_some_is_written
    code = "import sys; from daemon.cli.main import main; sys.exit(main())"
    child = subprocess.Popen([sys.executable, "-c", code, "ckpt", "pull", "me/tiny"])
    started.append(child)
    assert child.wait(120) == -signal.SIGKILL
    (begun,) = kept()
    assert 0 < begun.here_bytes < begun.size_bytes and not begun.complete
    with pytest.raises(CheckpointError, match="nothing of that name was pulled"):
        local_folder("me/tiny")  # half a checkpoint is none
    hub.read = lambda _file, _at: None
    folder = pulled("me/tiny")
    assert (folder / "model.safetensors").read_bytes() == BIG
    assert hub.asked[-1].start >= 1 << 20  # it went on there
    assert not list(store_root().rglob("*.part"))


def test_a_line_that_goes_is_tried_again_from_there(hub: ModelHub) -> None:
    cuts = iter([1 << 20, 3 << 20])
    at_next = [next(cuts)]

    def cut(file: str, at: int) -> None:
        if file == "model.safetensors" and at >= at_next[0]:
            at_next[0] = next(cuts, 1 << 60)
            raise CutError

    hub.read = cut
    folder = pulled("me/tiny")
    assert (folder / "model.safetensors").read_bytes() == BIG
    starts = [each.start for each in hub.asked if each.file == "model.safetensors"]
    assert starts[0] == 0 and len(starts) == 3 and 0 < starts[1] < starts[2]


def test_a_line_that_stays_gone_is_said_and_what_is_here_kept(hub: ModelHub) -> None:
    def cut(file: str, at: int) -> None:
        if file == "model.safetensors" and at >= 2 << 20:
            raise CutError

    hub.read = cut
    with pytest.raises(CheckpointError, match="more tries brought nothing") as error:
        pulled("me/tiny")
    assert "robotd ckpt pull me/tiny" in error.value.do
    assert kept()[0].here_bytes >= 1 << 20


def test_a_server_without_ranges_gives_the_same_file(hub: ModelHub) -> None:
    hub.ranges = False
    once = [True]

    def cut(file: str, at: int) -> None:
        if file == "model.safetensors" and at >= 2 << 20 and once:
            once.clear()
            raise CutError

    hub.read = cut
    assert (pulled("me/tiny") / "model.safetensors").read_bytes() == BIG


def test_a_damaged_rest_of_an_earlier_try_is_thrown_away(hub: ModelHub) -> None:
    source = parse_source("me/tiny")
    planned = plan(source, open_remote(source))
    planned.folder.mkdir(parents=True)
    (planned.folder / "model.safetensors.part").write_bytes(b"\0" * (1 << 20))
    assert (pulled("me/tiny") / "model.safetensors").read_bytes() == BIG


def test_content_that_is_not_the_listings_never_gets_its_name(hub: ModelHub) -> None:
    source = parse_source("me/tiny")
    remote = open_remote(source)
    planned = plan(source, remote)
    good = hub.repos["me/tiny"]
    changed = good.files | {"model.safetensors": BIG[::-1]}
    hub.repos["me/tiny"] = Repo(changed, claims=good.commit)
    with pytest.raises(CheckpointError, match="sha256"):
        pull(planned, remote, sleep=lambda _s: None)
    assert not (planned.folder / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("asked", "says", "do"),
    [
        ("google/closed", "gated", "hf auth login"),
        ("me/nothing", "no model me/nothing", "hf auth login"),
        ("me/tiny@v9", "no revision 'v9'", "commits"),
    ],
)
def test_a_refusal_of_the_hub_is_an_answer(hub: ModelHub, asked: str, says: str, do: str) -> None:
    with pytest.raises(CheckpointError, match=says) as error:
        pulled(asked)
    assert do in error.value.do
    assert "--tokenizer" in error.value.do or asked != "google/closed"


def test_no_hub_at_all_is_told_from_a_hotels_page(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub.html = True
    with pytest.raises(CheckpointError, match="is no hub"):
        pulled("me/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        pulled("me/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="cannot be reached"):
        pulled("me/tiny")


def test_what_the_hubs_own_cache_has_is_used_where_it_lies(hub: ModelHub, person: Path) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "model.safetensors"):
        snapshot = Path(hf_hub_download("me/tiny", name, cache_dir=person / "hf/hub")).parent
    asked = len(hub.asked)
    assert pulled("me/tiny") == snapshot
    assert len(hub.asked) == asked
    (only,) = kept()
    assert (only.cache, only.path) == ("hub", snapshot)
    assert local_folder("me/tiny") == snapshot
    assert _command(rm_command, "me/tiny", "--yes") == 0
    assert kept() == [] and not snapshot.exists()


def test_an_object_store_is_pulled_as_it_is(person: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    root = "/bucket/checkpoints/pi0"
    for file in (GOLDEN / "pi0").rglob("*"):
        if file.is_file() and file.name != "vectors.npz":
            memory.pipe(f"{root}/{file.relative_to(GOLDEN / 'pi0').as_posix()}", file.read_bytes())
    memory.pipe(f"{root}/train_state/d/moments", b"0" * 100)
    try:
        folder = pulled("memory://bucket/checkpoints/pi0")
        assert (folder / "params/_METADATA").exists() and not (folder / "train_state").exists()
        (only,) = kept()
        assert (only.kind, only.name) == ("pi0", "memory://bucket/checkpoints/pi0")
        assert local_folder("memory://bucket/checkpoints/pi0") == folder
        with pytest.raises(CheckpointError, match="nothing at memory://bucket/no"):
            pulled("memory://bucket/no")
    finally:
        memory.rm("/bucket", recursive=True)


def snapshot(person: Path, commit: str, age_s: float, *refs: str) -> Path:
    """A revision in the hub's own cache, as its client keeps it."""
    repo = person / "hf/hub/models--me--tiny"
    folder = repo / "snapshots" / (commit * 40)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"type": "{commit}"}}')
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    data = len(header).to_bytes(8, "little") + header + b"0000"
    (folder / "model.safetensors").write_bytes(data)
    for file in folder.iterdir():
        os.utime(file, (time.time() - age_s,) * 2)
    for ref in refs:
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / ref).write_text(commit * 40)
    return folder


def test_of_the_hubs_revisions_main_is_meant_then_the_newest_named_one(
    person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never the one whose commit happens to come first in the alphabet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(person / "hf/hub"))
    snapshot(person, "a", 30.0)
    snapshot(person, "f", 0.0)
    with pytest.raises(CheckpointError, match="is here 2 times"):
        local_folder("me/tiny")
    older = snapshot(person, "b", 20.0, "v1")
    newer = snapshot(person, "c", 10.0, "v2", "stable")
    assert local_folder("me/tiny") == newer
    assert local_folder("me/tiny@v1") == older and find("me/tiny@stable").path == newer
    assert local_folder("me/tiny@" + "a" * 7).name == "a" * 40
    main = snapshot(person, "d", 25.0, "main")
    assert local_folder("me/tiny") == main


def test_going_on_with_a_pull_is_told_with_its_revision(hub: ModelHub) -> None:
    """Without it the remedy would fetch main from its first byte."""

    def cut(file: str, at: int) -> None:
        if file == "model.safetensors" and at >= 2 << 20:
            raise CutError

    hub.read = cut
    commit = hub.repos["me/tiny"].commit
    with pytest.raises(CheckpointError, match="more tries brought nothing") as error:
        pulled(f"me/tiny@{commit}")
    assert f"robotd ckpt pull me/tiny@{commit}" in error.value.do
    hub.read = lambda _file, _at: None
    begun = len(hub.asked)
    assert pulled(error.value.do.rpartition(" ")[2]).exists()
    assert next(a.start for a in hub.asked[begun:] if a.file == "model.safetensors") > 0


def test_a_folder_at_a_revision_is_found_by_the_text_it_was_pulled_by(hub: ModelHub) -> None:
    files = {"sub/config.json": b'{"type": "act"}', "sub/model.safetensors": b"x" * 64}
    hub.repos["me/both"] = Repo(files | {"config.json": b"{}"})
    commit = hub.repos["me/both"].commit
    text = f"hf://me/both@{commit}/sub"
    folder = pulled(text)
    assert local_folder(text) == folder == local_folder("hf://me/both/sub")
    assert find(text).path == folder
    with pytest.raises(CheckpointError, match="nothing of that name was pulled"):
        local_folder("me/both")
    assert parse_source(text).text == text
    whole = pulled("me/both")
    assert local_folder(text) == folder
    shutil.rmtree(folder)
    manifest_of(folder).unlink()
    assert local_folder(text) == whole / "sub"  # of the whole, which is here


def test_a_stores_pull_is_named_by_its_revision_too(person: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    try:
        memory.pipe("/bucket/x/model.safetensors", b"one")
        one = pulled("memory://bucket/x")
        memory.pipe("/bucket/x/model.safetensors", b"second")
        two = pulled("memory://bucket/x")
        assert one != two
        with pytest.raises(CheckpointError, match="is here 2 times"):
            find("memory://bucket/x")
        for folder in (one, two):
            assert find(f"memory://bucket/x@{folder.name}").path == folder
    finally:
        memory.rm("/bucket", recursive=True)


def test_listing_and_removing_by_the_name_it_was_pulled_under(
    hub: ModelHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pulled("me/tiny")
    assert _command(list_command, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "me/tiny" and row["complete"] and row["path"] == str(folder)
    with pytest.raises(StateError, match="Nobody can be asked"):
        _command(rm_command, "me/tiny")
    with monkeypatch.context() as running:
        running.setattr(shelf, "_loaded", lambda: {"alpha": folder / "pretrained_model"})
        with pytest.raises(StateError, match="loaded by robotd alpha"):
            _command(rm_command, "me/tiny", "--yes")
    assert folder.exists()
    assert _command(rm_command, "me/tiny", "--yes") == 0
    assert not folder.exists() and kept() == []
    with pytest.raises(CheckpointError, match="was pulled"):
        find("me/tiny")


def test_a_dry_run_says_the_size_and_fetches_nothing(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(pull_command, "me/tiny", "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["missing_bytes"] == len(BIG) + len(b'{"type": "pi0"}') and not said["complete"]
    assert hub.asked == [] and not store_root().exists()


def test_too_little_room_is_said_before_the_first_byte(tmp_path: Path) -> None:
    check_room(tmp_path, 7_000_000_000, free_bytes=9_000_000_000)
    with pytest.raises(CheckpointError, match=r"7\.00 GB are missing"):
        check_room(tmp_path, 7_000_000_000, free_bytes=7_500_000_000)
    assert "container" in fleeting(tmp_path, "overlay") and not fleeting(tmp_path, "ext4")


def test_two_pulls_of_one_thing_do_not_mix(hub: ModelHub) -> None:
    inside: list[type[RobotdError]] = []

    def second(file: str, _at: int) -> None:
        if not inside:
            inside.append(RobotdError)
            try:
                pulled("me/tiny")
            except RobotdError as error:
                inside.append(type(error))

    hub.read = second
    pulled("me/tiny")
    assert inside[1:] == [StateError]


@pytest.mark.parametrize(
    ("text", "url", "revision"),
    [
        ("lerobot/pi0_base", "hf://lerobot/pi0_base", ""),
        ("lerobot/pi0_base@v2.0", "hf://lerobot/pi0_base", "v2.0"),
        ("hf://lerobot/pi0@main/sub/folder", "hf://lerobot/pi0/sub/folder", "main"),
        ("hf://models/lerobot/pi0", "hf://lerobot/pi0", ""),
        ("https://huggingface.co/lerobot/pi0/tree/abc", "hf://lerobot/pi0", "abc"),
        ("gs://openpi-assets/checkpoints/pi0_base/", "gs://openpi-assets/checkpoints/pi0_base", ""),
        ("file:///data/pi0", "file:///data/pi0", ""),
    ],
)
def test_a_source_is_understood_as_people_write_it(text: str, url: str, revision: str) -> None:
    source = parse_source(text)
    assert (source.url, source.revision) == (url, revision)


@given(st.text(max_size=30))
def test_any_other_text_is_refused_in_three_sentences_or_understood(text: str) -> None:
    try:
        source = parse_source(text)
    except CheckpointError:
        return
    assert "/" not in source.slug and source.place


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", ""])
def test_a_listing_cannot_write_outside_of_its_folder(path: str) -> None:
    with pytest.raises(CheckpointError, match="outside"):
        check_paths("gs://bucket", [RemoteFile(path=path, size_bytes=1)])


def test_pickles_are_left_where_safetensors_are() -> None:
    files = [
        RemoteFile(path=p, size_bytes=1) for p in ("a.safetensors", "a.bin", "tokenizer.model")
    ]
    assert [f.path for f in needed(files)] == ["a.safetensors", "tokenizer.model"]
    assert [f.path for f in needed(files[1:])] == ["a.bin", "tokenizer.model"]


def _command(module: object, *arguments: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    module.configure(parser)  # type: ignore[attr-defined]
    return int(module.run(parser.parse_args(arguments)))  # type: ignore[attr-defined]
