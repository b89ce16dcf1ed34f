"""LeRobot's own loader, from the hub: the tag it asks for, the files it downloads, every frame."""

from pathlib import Path
from types import ModuleType

import pytest

from bench.local_hub import LocalHub
from daemon.recorder.dataset import remove_last

from ..recording.conftest import lerobot_datasets  # noqa: F401
from ..recording.episodes import check_frames, make_spec
from .conftest import only, queue, work


@pytest.mark.slow
def test_lerobot_loads_what_was_uploaded_and_no_longer_what_was_withdrawn(
    hub: LocalHub,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    lerobot_datasets: ModuleType,  # noqa: F811
) -> None:
    import datasets
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", root.parents[2] / "arrow")
    address = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    numbers = [*range(6), *range(10, 16)]
    for kept in (numbers, numbers[:6]):
        queue(root)
        assert only(work()).state == "done"
        set_client_factory(default_client_factory)
        there = root.parents[2] / f"download-{len(kept)}"
        loaded = lerobot_datasets.LeRobotDataset("me/pick", root=there, video_backend="pyav")
        assert loaded.revision == "v3.0"
        check_frames(loaded, kept, make_spec(root))
        if kept is numbers:
            remove_last(root)
