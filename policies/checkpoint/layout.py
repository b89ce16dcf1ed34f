"""Which tensors a model has and of what shape, as a table whose sizes are found in the shapes.

A row is a name and its axes in symbols ("N*H", "D"). Sizes are found by vote over all tensors that
show a symbol, so that one tensor that is missing or of a wrong shape cannot hide behind the others.
`{l}` in a name stands for a layer's number, and `stack` for the symbol that counts these layers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"\.layers\.(\d+)\.")

Sizes = dict[str, int]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor (or one of each layer): its name, its axes, the symbol of the number of layers."""

    name: str
    axes: tuple[str, ...]
    stack: str = ""


def solve(rows: Iterable[Row], shapes: Mapping[str, Shape], known: Mapping[str, int]) -> Sizes:
    """The sizes that most tensors agree on. `known` is what no shape can tell.

    A symbol that no tensor shows is left out.
    """
    table = {row.name: row for row in rows}
    votes: dict[str, Counter[int]] = {}
    layers: dict[str, int] = {}
    for name, shape in shapes.items():
        number = _NUMBER.search(name)
        row = table.get(_NUMBER.sub(".layers.{l}.", name))
        if row is None or len(shape) != len(row.axes):
            continue
        if number and row.stack:
            layers[row.stack] = max(layers.get(row.stack, 0), int(number[1]) + 1)
        for axis, size in zip(row.axes, shape, strict=True):
            votes.setdefault(axis, Counter())[size] += 1
    sizes: Sizes = {**known, **layers}
    # A product can be solved once all but one of its symbols are, and may be what solves another.
    for _ in range(3):
        for axis, counted in votes.items():
            unknown = [s for s in axis.split("*") if not s.isdigit() and s not in sizes]
            if len(unknown) == 1:
                rest = _product(axis, {**sizes, unknown[0]: 1})
                size = counted.most_common(1)[0][0]
                if rest and size % rest == 0:
                    sizes[unknown[0]] = size // rest
    return sizes


def expected(rows: Iterable[Row], sizes: Mapping[str, int]) -> dict[str, Shape]:
    """Every tensor a model of these sizes has; rows with an unknown symbol are left out."""
    found: dict[str, Shape] = {}
    for row in rows:
        if not sized(row, sizes):
            continue
        shape = tuple(_product(axis, sizes) for axis in row.axes)
        if not row.stack:
            found[row.name] = shape
        for layer in range(sizes.get(row.stack, 0)):
            found[row.name.format(l=layer)] = shape
    return found


def sized(row: Row, sizes: Mapping[str, int]) -> bool:
    """Whether every symbol of a row is known."""
    symbols = {symbol for axis in row.axes for symbol in axis.split("*")}
    return all(symbol.isdigit() or symbol in sizes for symbol in symbols)


def _product(axis: str, sizes: Mapping[str, int]) -> int:
    product = 1
    for part in axis.split("*"):
        product *= int(part) if part.isdigit() else sizes[part]
    return product
