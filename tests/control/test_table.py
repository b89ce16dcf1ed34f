"""The printed table is the machine's own."""

from pathlib import Path

from daemon.control.table import states_table, transitions_table

PAGE = Path(__file__).parents[2] / "docs" / "safety.md"


def test_the_safety_page_prints_the_state_machine_that_runs() -> None:
    text = PAGE.read_text()
    assert states_table() in text
    assert transitions_table() in text
