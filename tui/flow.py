"""Words flowing over a few lines: a message of several parts keeps each part's colour.

Pure. Nothing that a person has to read is cut off while there is a line left for it."""

from collections.abc import Sequence

from rich.text import Text

Part = tuple[str, str]
"""Words, and the style they are drawn in."""


def flow(parts: Sequence[Part], width: int, indent: int = 0) -> list[Text]:
    """The parts as lines of at most `width` columns, the later lines moved in by `indent`.

    A word longer than a line (a path) is broken, so that its end can be read as well.
    """
    lines = [Text()]
    room = max(8, width - indent)
    for text, style in parts:
        for word in text.split():
            for at in range(0, len(word), room):
                piece = word[at : at + room]
                line = lines[-1]
                begun = bool(line.plain.strip())
                if begun and (at > 0 or line.cell_len + 1 + len(piece) > width):
                    line = Text(" " * indent)
                    lines.append(line)
                    begun = False
                line.append(f" {piece}" if begun else piece, style=style)
    return lines


def fitted(choices: Sequence[Sequence[Part]], width: int, height: int, indent: int) -> list[Text]:
    """The first of `choices` that fits in `height` lines; of the last one as much as fits, its end
    marked."""
    lines: list[Text] = []
    for parts in choices:
        lines = flow(parts, width, indent)
        if len(lines) <= height:
            return lines
    lines = lines[: max(1, height)]
    last = lines[-1]
    last.truncate(width - 3)
    last.append("...")
    return lines
