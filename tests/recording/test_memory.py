"""Episodes leave no memory behind: what one took is given back when it has ended."""

import json
import re
import subprocess
import sys
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


def fifty_episodes(folder: Path) -> list[float]:
    """What the process has of its own after each of fifty episodes, one in ten of them kept."""
    cameras = (CameraSpec("overhead", 640, 480), CameraSpec("wrist", 640, 480))
    spec = make_spec(folder / "dataset", cameras=cameras)
    session = Session(folder / "journals", open_lane=ThreadLane)
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
    return after


def test_forty_episodes_leave_no_memory_behind(tmp_path: Path) -> None:
    # In a process of its own, as the recorder is: other tests' memory comes and goes.
    told = subprocess.run(
        [sys.executable, "-m", "recording.test_memory", str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert told.returncode == 0, told.stderr
    after = json.loads(told.stdout.splitlines()[-1])
    # An encoder of this size takes 10 MB; one that stayed in ten episodes would be seen.
    assert min(after[-10:]) - min(after[10:20]) < 3.0, after


if __name__ == "__main__":
    print(json.dumps(fifty_episodes(Path(sys.argv[1]))))  # noqa: T201
