"""Episodes leave no memory behind: what one took is given back when it has ended."""

import re
from pathlib import Path

from daemon.recorder.lane import ThreadLane
from daemon.recorder.memory import give_back
from daemon.recorder.schema import CameraSpec
from daemon.recorder.session import Session

from .episodes import make_frames, make_row, make_spec


def own_mb() -> float:
    """What this process has of its own."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) / 1024


def test_forty_episodes_leave_no_memory_behind(tmp_path: Path) -> None:
    cameras = (CameraSpec("overhead", 640, 480), CameraSpec("wrist", 640, 480))
    spec = make_spec(tmp_path / "dataset", cameras=cameras)
    session = Session(tmp_path / "journals", open_lane=ThreadLane)
    frames = [make_frames(spec, number) for number in range(8)]
    after: list[float] = []
    for episode in range(50):
        session.start(spec)
        for number, pictures in enumerate(frames):
            session.append(make_row(spec, number), pictures)
        if episode % 10:
            session.discard()
        else:
            session.keep()
            session.publish_pending()
        give_back()
        after.append(own_mb())
    session.close()
    # An encoder of this size takes 10 MB; one that stayed in ten episodes would be seen.
    assert min(after[-10:]) - min(after[10:20]) < 3.0, after
