"""The uploads on the record screen: what waits for a person is said, what is done is not."""

import pytest
from screen_stage import until
from scripted_robot import ScriptedBackend, StillClock

from robotd.uploading import Upload, Uploads, UploadState
from tui.app import RecordApp
from tui.look import PLAIN, RICH
from tui.uploads_line import words


def queue(*states: UploadState, **more: object) -> Uploads:
    uploads = tuple(Upload(id=str(n), name="a", root="/", state=s) for n, s in enumerate(states))
    return Uploads(uploads=uploads, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (queue(), ""),
        (queue("done", "cancelled"), ""),
        (queue("done", "waiting"), "upload waits for the hub"),
        (queue("waiting", "verifying"), "upload verifying +1"),
        (queue("sending", paused=True), "upload paused"),
        (queue("sending", arm_moves=True), "upload held while the arm moves"),
        (queue("sending", "refused"), f"{PLAIN.alert} upload needs you: robotd upload"),
    ],
)
def test_each_state_of_the_queue_in_a_few_words(state: Uploads, said: str) -> None:
    assert words(state, PLAIN) == said


async def test_the_screen_shows_what_the_uploader_publishes() -> None:
    now = [queue("waiting")]
    app = RecordApp(ScriptedBackend(), RICH, StillClock(), uploads=lambda: now[0])
    async with app.run_test(size=(160, 45)) as pilot:

        def shown() -> str:
            return str(app.record_screen.query_one("#episodes").border_title)

        await until(pilot, lambda: "upload waits for the hub" in shown())
        now[0] = queue("done")
        await until(pilot, lambda: "upload" not in shown())
