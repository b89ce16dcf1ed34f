"""What `robotd record` prints of the quality gate: each verdict once, late ones at the end."""

from typing import Any

from daemon.cli.verdicts import Verdicts, lines_of
from robotd.messages import EpisodeLine, RecordingStatus


def _line(index: int, episode: int, *findings: str, **more: Any) -> EpisodeLine:
    values = {"outcome": "kept", "verdict": "bad" if findings else "ok", "do": "Redo it"} | more
    return EpisodeLine(
        index=index, seconds=9, frames=135, episode=episode, findings=findings, **values
    )


def test_a_verdict_is_told_once_and_a_sound_episode_is_not_mentioned() -> None:
    verdicts = Verdicts()
    waits = _line(2, -1, verdict="")
    sound, black = _line(0, 7), _line(1, 8, "wrist is black.", "gripper never moved.")
    seen = RecordingStatus(episodes=(sound, black, waits), warnings=("Camera wrist is another.",))
    assert verdicts.news(seen) == [black]
    assert verdicts.news(seen) == []
    assert verdicts.warnings(seen) == ["Camera wrist is another."]
    assert verdicts.warnings(seen) == []
    assert lines_of(black) == [
        "  episode 8: bad: wrist is black.",
        "    gripper never moved.",
        "    Redo it.",
    ]
    held = _line(2, -1, "overhead is black.", outcome="held")
    assert verdicts.news(RecordingStatus(episodes=(sound, black, held))) == [held]
    assert lines_of(held)[0] == "  held back, not saved: bad: overhead is black."


def test_what_came_after_the_last_look_is_said_at_the_end() -> None:
    verdicts = Verdicts()
    verdicts.news(RecordingStatus(episodes=(_line(1, 8, "wrist is black."),)))
    flagged = [
        {"episode": 8, "verdict": "bad", "findings": ["wrist is black."], "do": "Redo it"},
        {"episode": 9, "verdict": "warn", "findings": ["gripper never moved."], "do": "Look"},
    ]
    assert verdicts.rest(flagged) == ["  episode 9: warn: gripper never moved.", "    Look."]
