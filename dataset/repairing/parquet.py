"""A parquet file without its end, given one again.

LeRobot keeps one ParquetWriter open for a whole session and writes the file's footer when it is
closed: after a kill the footer is missing and no reader opens the file, though each episode's rows
were written as a row group of their own and lie on the disk whole. Every page of a row group begins
with a header that says how long it is and how many values it holds; walking them finds where each
column of each row group lies, which is all that the footer would have said. The footer is then
made from that of an empty file of the same schema (apache/parquet-format, `parquet.thrift`).
"""

import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset.repairing.thrift import I64, LIST, STRUCT, Reader, Struct, encode

MAGIC = b"PAR1"
_TAIL_BYTES = 8  # length of the footer, magic
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_COMPRESSION = "snappy"  # LeRobot's


@dataclass(frozen=True, slots=True)
class Page:
    """One page: where its header and its end are in the file, and the values it holds."""

    start: int
    end: int
    unpacked_bytes: int
    is_dictionary: bool
    values: int


def has_footer(path: Path) -> bool:
    """Whether the file ends as a parquet file does; its content may still be damaged."""
    size = path.stat().st_size
    if size < len(MAGIC) + _TAIL_BYTES:
        return False
    with path.open("rb") as file:
        file.seek(size - len(MAGIC))
        return file.read() == MAGIC


def with_footer(data: bytes, schema: pa.Schema) -> bytes:
    """The torn file `data` up to its last whole row group, with a footer behind it.

    `schema` is that of the table it was written from. The result is a parquet file that any reader
    opens; it has no rows where no row group was whole. Raises ValueError when `data` does not
    begin as a parquet file.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin as a parquet file")
    footer, columns = _template(schema)
    widths = _values_a_row(schema)
    pages = _pages(data)
    groups: list[Struct] = []
    rows = 0
    end = len(MAGIC)
    while True:
        found = _row_group(pages, widths)
        if found is None:
            break
        count, chunks = found
        groups.append(_group(columns, chunks, count))
        rows += count
        end = chunks[-1][-1].end
        pages = pages[sum(len(chunk) for chunk in chunks) :]
    footer[3] = (I64, rows)
    footer[4] = (LIST, (STRUCT, groups))
    encoded = encode(footer)
    return data[:end] + encoded + len(encoded).to_bytes(4, "little") + MAGIC


def _pages(data: bytes) -> list[Page]:
    """Every whole page from the start of the file; what follows the first torn one is left out."""
    pages = []
    place = len(MAGIC)
    while place < len(data):
        reader = Reader(data, place)
        try:
            header = reader.struct()
            kind, unpacked, packed = header[1][1], header[2][1], header[3][1]
            part = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}[kind]
            values = header[part][1][1][1]
        except (ValueError, IndexError, KeyError, TypeError):
            break
        header_bytes = reader.place - place
        end = reader.place + packed
        if packed < 0 or end > len(data):
            break
        is_dictionary = kind == _DICTIONARY_PAGE
        pages.append(Page(place, end, header_bytes + unpacked, is_dictionary, values))
        place = end
    return pages


def _row_group(pages: list[Page], widths: list[int]) -> tuple[int, list[list[Page]]] | None:
    """The row group that `pages` begin with: its rows, and the pages of each column; None if torn.

    A column begins with its dictionary's page if it has one; where it has none (booleans), only
    the number of rows tells where it ends, so each number that the first column allows is tried.
    """
    seen = 0
    for place, page in enumerate(pages):
        if page.is_dictionary:
            if place:
                break
            continue
        seen += page.values
        if seen and seen % widths[0] == 0:
            chunks = _split(pages, widths, seen // widths[0])
            if chunks is not None:
                return seen // widths[0], chunks
    return None


def _split(pages: list[Page], widths: list[int], rows: int) -> list[list[Page]] | None:
    chunks = []
    place = 0
    for width in widths:
        chunk: list[Page] = []
        values = 0
        while values < rows * width:
            if place == len(pages) or (chunk and pages[place].is_dictionary):
                return None
            chunk.append(pages[place])
            values += 0 if pages[place].is_dictionary else pages[place].values
            place += 1
        if values != rows * width:
            return None
        chunks.append(chunk)
    return chunks


def _group(columns: list[Struct], chunks: list[list[Page]], rows: int) -> Struct:
    described: list[Struct] = []
    total = 0
    for column, pages in zip(columns, chunks, strict=True):
        unpacked = sum(page.unpacked_bytes for page in pages)
        data_page = next(page for page in pages if not page.is_dictionary)
        meta: Struct = {number: column[number] for number in (1, 2, 3, 4)}
        meta[5] = (I64, sum(page.values for page in pages if not page.is_dictionary))
        meta[6] = (I64, unpacked)
        meta[7] = (I64, pages[-1].end - pages[0].start)
        meta[9] = (I64, data_page.start)
        if pages[0].is_dictionary:
            meta[11] = (I64, pages[0].start)
        described.append({2: (I64, pages[0].start), 3: (STRUCT, meta)})
        total += unpacked
    return {1: (LIST, (STRUCT, described)), 2: (I64, total), 3: (I64, rows)}


def _template(schema: pa.Schema) -> tuple[Struct, list[Struct]]:
    """The footer of a file of `schema`, and what it says of each leaf column's type and coding."""
    sink = io.BytesIO()
    arrays = [pa.nulls(1, each.type) for each in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression=_COMPRESSION)
    data = sink.getvalue()
    size = int.from_bytes(data[-_TAIL_BYTES:-4], "little")
    footer = Reader(data, len(data) - _TAIL_BYTES - size).struct()
    group = footer[4][1][1][0]
    columns = [column[3][1] for column in group[1][1][1]]
    return footer, columns


def _values_a_row(schema: pa.Schema) -> list[int]:
    """How many values a row has in each leaf column. Raises ValueError where it varies by row."""
    return [width for field in schema for width in _widths(field.type, 1)]


def _widths(kind: pa.DataType, values: int) -> list[int]:
    if pa.types.is_fixed_size_list(kind):
        return _widths(kind.value_type, values * kind.list_size)
    if pa.types.is_struct(kind):
        return [width for field in kind for width in _widths(field.type, values)]
    if pa.types.is_nested(kind):
        raise ValueError(f"rows of {kind} are of no fixed length")
    return [values]
