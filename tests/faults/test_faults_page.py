"""docs/faults.md has a row for every fault there is, and names tests that exist."""

import re
from pathlib import Path

from robotd.states import Fault
from sim.plant.fault_table import FAULTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()


def rows() -> list[list[str]]:
    """The cells of every table row of the page."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_fault_of_the_table_has_its_row_with_a_test() -> None:
    tried = {
        found[1]: row
        for row in rows()
        if len(row) == 5 and (found := re.match(r"`(\w+)", row[1])) is not None
    }
    assert set(tried) == set(FAULTS)
    for name, row in tried.items():
        assert "`test_" in row[4], name
        named = FAULTS[name].value
        assert "--value" not in row[1] or named is not None, name


def test_every_test_that_the_page_names_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in set(re.findall(r"`(test_\w+)`", PAGE)):
        assert f"def {name}(" in tests, name


def test_every_fault_that_control_can_name_is_on_a_page() -> None:
    safety = (ROOT / "docs" / "safety.md").read_text().lower()
    elsewhere = {Fault.NONE, Fault.ARMING_FAILED}  # nothing; a word that only the list uses
    for fault in set(Fault) - elsewhere:
        assert fault.name.lower() in PAGE.lower() + safety, fault.name
