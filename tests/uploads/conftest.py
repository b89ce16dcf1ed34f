"""The real client of the hub against the local hub, with nothing of the person's in reach."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.local_hub import TOKEN, LocalHub
from daemon.recorder.dataset import publish
from robotd.uploading import Upload, Uploads, read_uploads, requests_file
from uploads.patience import Patience
from uploads.requests import Queue, ask
from uploads.worker import Uploader

from ..recording.episodes import make_spec, write_episode


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where there is one: these tests sync thousands of times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folders, and their token in the environment."""
    for name, place in (
        ("XDG_STATE_HOME", "state"),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
        ("HF_HOME", "hf"),
        ("HF_LEROBOT_HOME", "home"),
    ):
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path


@pytest.fixture
def hub(person: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub that is the hub, for this process and those it starts."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils._http import default_client_factory

    disable_progress_bars()
    with LocalHub(page_size=5) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield hub
        set_client_factory(default_client_factory)


@pytest.fixture
def root(person: Path) -> Path:
    """A dataset of two episodes, called me/pick."""
    root = person / "home" / "me" / "pick"
    for number in range(2):
        keep_episode(root, number)
    return root


def keep_episode(root: Path, number: int, rows: int = 6) -> None:
    """Record and publish one more episode."""
    journal = root.parents[2] / "journals" / f"episode-{number:03d}"
    journal.parent.mkdir(exist_ok=True)
    publish(write_episode(journal, make_spec(root), rows, first=10 * number))


def queue(root: Path, **options: object) -> None:
    """What `robotd upload me/pick` asks for."""
    ask(requests_file(), Queue(root=str(root), name="me/pick", **options))  # type: ignore[arg-type]


class Clock:
    """Wall time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.slept_s: list[float] = []
        self.at_wake: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s.append(seconds)
        self.at_wake()


def work(clock: Clock | None = None, patience: Patience | None = None) -> Uploads:
    """Run the uploader in this process until it ends; returns what it published."""
    clock = clock or Clock()
    uploader = Uploader(patience or Patience(), sleep=clock.sleep, wall_s=lambda: clock.now_s)
    uploader.run()
    return read_uploads()


def only(state: Uploads) -> Upload:
    (upload,) = state.uploads
    return upload
