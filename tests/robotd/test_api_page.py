"""The API page names every request there is."""

import typing
from pathlib import Path

from robotd import messages

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_api_page_lists_every_request_with_its_fields() -> None:
    text = PAGE.read_text()
    for kind in typing.get_args(messages.AnyRequest):
        (row,) = [
            line for line in text.splitlines() if f"| `{kind.__struct_config__.tag}` |" in line
        ]
        for field in kind.__struct_fields__:
            assert f"`{field}`" in row
