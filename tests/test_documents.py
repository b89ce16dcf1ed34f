"""What the documents name exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))


def test_every_test_that_an_invariant_names_exists() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text()
    named = set(re.findall(r"\b(test_[a-z0-9_]+)(?!\.py)\b(?!\.py)", page))
    assert len(named) > 15
    missing = {
        name
        for name in named
        if f"def {name}(" not in TESTS and not list((ROOT / "tests").rglob(f"{name}*"))
    }
    assert missing == set()


def test_every_file_that_a_page_links_to_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
