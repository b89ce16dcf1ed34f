"""Words over lines: nothing is lost, nothing is wider than the terminal."""

from hypothesis import given
from hypothesis import strategies as st

from tui.flow import fitted, flow

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(st.lists(st.tuples(WORDS, st.just("")), max_size=12), st.integers(20, 100))
def test_every_word_is_there_and_no_line_is_too_wide(
    parts: list[tuple[str, str]], width: int
) -> None:
    lines = flow(parts, width, 2)
    assert all(line.cell_len <= width for line in lines)
    seen = "".join("".join(line.plain.split()) for line in lines)
    assert seen == "".join(text for text, _ in parts)


def test_the_shorter_choice_is_taken_when_the_longer_one_does_not_fit() -> None:
    long, short = [("one two three four five six", "")], [("one six", "")]
    assert [line.plain for line in fitted([long, short], 20, 1, 0)] == ["one six"]
    assert len(fitted([long, short], 20, 2, 0)) == 2


def test_what_fits_nowhere_shows_that_it_goes_on() -> None:
    (line,) = fitted([[("one two three four five six", "")]], 20, 1, 0)
    assert line.plain.endswith("...")
