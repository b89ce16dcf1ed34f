"""The table of numbers in docs/safety.md says what the program does."""

import math
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SECTIONS = ("control", "limits", "protection", "twin")
_ROW = re.compile(r"^\| `([a-z][\w.@/]*[.:]\w+)` \| ([^|]+) \|", re.MULTILINE)


def rows() -> dict[str, tuple[float, ...]]:
    """Every named number of the table, and its value or values."""
    page = (ROOT / "docs" / "safety.md").read_text()
    table = page[page.index("## Every default number") :]
    found = _ROW.findall(table)
    assert len({name for name, _ in found}) == len(found), "a number stands twice"
    return {name: tuple(float(each) for each in value.split(",")) for name, value in found}


def numbers() -> dict[str, tuple[float, ...]]:
    """Every numeric default of the sections that bound the arm."""
    defaults = yaml.safe_load((ROOT / "config" / "defaults.yaml").read_text())
    found: dict[str, tuple[float, ...]] = {}
    for section in SECTIONS:
        for key, value in defaults[section].items():
            values = value if isinstance(value, list) else [value]
            if values and all(_number(each) for each in values):
                found[f"{section}.{key}"] = tuple(float(each) for each in values)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_default_that_bounds_the_arm_has_a_row_with_its_value() -> None:
    assert len(numbers()) > 30
    table = rows()
    for key, value in numbers().items():
        assert table.get(key) == value, key


def test_no_row_names_a_key_that_is_gone() -> None:
    keys = {name for name in rows() if name.split(".")[0] in SECTIONS and ":" not in name}
    assert keys == set(numbers())


@pytest.mark.parametrize("name", [name for name in rows() if ":" in name])
def test_every_constant_of_the_table_is_the_programs(name: str) -> None:
    where, constant = name.split(":")
    (value,) = rows()[name]
    if where.startswith("systemd/"):
        unit = (ROOT / where).read_text()
        assert float(re.findall(rf"^{constant}=(\d+)$", unit, re.MULTILINE)[0]) == value
    else:
        assert math.isclose(getattr(import_module(where), constant), value, rel_tol=1e-3)
