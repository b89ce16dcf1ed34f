"""The API page names every request there is, and every figure of health."""

import typing
from pathlib import Path

from robotd import health, messages

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_api_page_lists_every_request_with_its_fields() -> None:
    text = PAGE.read_text()
    for kind in typing.get_args(messages.AnyRequest):
        (row,) = [
            line for line in text.splitlines() if f"| `{kind.__struct_config__.tag}` |" in line
        ]
        for field in kind.__struct_fields__:
            assert f"`{field}`" in row


def test_the_api_page_names_every_figure_of_health() -> None:
    text = PAGE.read_text()
    text = text[text.index("**Health.**") : text.index("**Shared memory.**")]
    structs = [value for value in vars(health).values() if isinstance(value, type)]
    fields = {name for each in structs for name in getattr(each, "__struct_fields__", ())}
    assert len(fields) > 30
    assert {name for name in fields if f"`{name}`" not in text} == set()
