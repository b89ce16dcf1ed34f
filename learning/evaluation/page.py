"""The report of an evaluation: SVG charts, and one HTML page that needs nothing beside it but the films. Pure."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

_COLOURS = {
    "success": "#2f9e5b",
    "missed_goal": "#e0a021",
    "partly_open": "#e0a021",
    "dropped_during_transport": "#d9662b",
    "pushed_astray": "#d9662b",
    "shut_again": "#d9662b",
    "never_picked_up": "#b23b4c",
    "never_moved": "#b23b4c",
    "timeout": "#6b7785",
}
_INK, _FAINT, _PAPER = "#1c2733", "#c8d0d8", "#ffffff"
_FONT = "font-family='Helvetica, Arial, sans-serif'"
_ROW_PX, _BAR_PX, _VALUE_PX = 30, 420, 150
_LETTER_PX = 8.2  # of a bold one at 13 px, generously
_CELL_PX = 64


def chart(content: Mapping[str, Any]) -> str:
    """Every variant's success rate with its interval, and how its episodes ended: a standalone SVG."""
    each = content["variants"]
    label = _label_px(each)
    width = label + _BAR_PX + _VALUE_PX
    top = 64
    height = top + 2 * _ROW_PX * len(each) + 24 + 22 * len(_used(each))
    parts = [
        _text(16, 26, f"{content['task']}: success, 95 % interval", size=16, weight="bold"),
        _text(16, 46, f"{content['episodes']} episodes each; chosen: {content['chosen']}", size=12),
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = label + share * _BAR_PX
        bottom = top + 2 * _ROW_PX * len(each)
        parts.append(f"<line x1='{x}' y1='{top}' x2='{x}' y2='{bottom}' stroke='{_FAINT}'/>")
        parts.append(_text(x, top - 4, f"{share:.0%}", size=10, anchor="middle"))
    for number, one in enumerate(each):
        chosen = one["variant"] == content["chosen"]
        parts += _variant_rows(one, label, top + 2 * _ROW_PX * number, chosen)
    y = top + 2 * _ROW_PX * len(each) + 24
    for name in _used(each):
        parts.append(
            f"<rect x='{label}' y='{y - 11}' width='13' height='13' fill='{_COLOURS[name]}'/>"
        )
        parts.append(_text(label + 20, y, name.replace("_", " "), size=12))
        y += 22
    return _svg(width, height, parts)


def _label_px(each: Sequence[Mapping[str, Any]]) -> float:
    """Room for the longest name."""
    return max(120.0, 24.0 + _LETTER_PX * max(len(one["variant"]) for one in each))


def _variant_rows(one: Mapping[str, Any], label: float, y: float, chosen: bool) -> list[str]:
    """A bar with its interval, and below it the outcomes as shares of one bar."""
    rate, (low, high) = one["success_rate"], one["ci95"]
    middle = y + 13
    parts = [
        _text(
            label - 10,
            middle + 4,
            one["variant"],
            size=13,
            anchor="end",
            weight="bold" if chosen else "normal",
        ),
        f"<rect x='{label}' y='{y + 4}' width='{rate * _BAR_PX:.1f}' height='18' "
        f"fill='{_COLOURS['success']}' opacity='0.85'/>",
        *_whisker(label + low * _BAR_PX, label + high * _BAR_PX, middle),
        _text(label + _BAR_PX + 10, middle + 4, f"{rate:.1%}  ({low:.0%} to {high:.0%})", 12),
    ]
    x = label
    for name in _COLOURS:
        count = one["outcomes"].get(name, 0)
        wide = _BAR_PX * count / one["episodes"]
        if not count:
            continue
        parts.append(
            f"<rect x='{x:.1f}' y='{y + 30}' width='{wide:.1f}' height='12' "
            f"fill='{_COLOURS[name]}'><title>{name}: {count}</title></rect>"
        )
        if wide > 16:
            parts.append(_text(x + wide / 2, y + 40, str(count), 9, anchor="middle", ink=_PAPER))
        x += wide
    return parts


def _whisker(low: float, high: float, y: float) -> list[str]:
    line = f"stroke='{_INK}' stroke-width='1.5'"
    ends = [
        f"<line x1='{x:.1f}' y1='{y - 5}' x2='{x:.1f}' y2='{y + 5}' {line}/>" for x in (low, high)
    ]
    return [f"<line x1='{low:.1f}' y1='{y}' x2='{high:.1f}' y2='{y}' {line}/>", *ends]


def grid_chart(one: Mapping[str, Any]) -> str:
    """Successes by the place of the object, seen from above: the world's x is up, y to the left."""
    cells = one["cells"]
    columns = 1 + max(cell["cell"][0] for cell in cells)
    rows = 1 + max(cell["cell"][1] for cell in cells)
    parts = [_text(16, 24, f"{one['variant']}: successes by place", size=14, weight="bold")]
    for cell in cells:
        column, row = cell["cell"]
        share = cell["successes"] / cell["episodes"]
        x = 76 + (rows - 1 - row) * _CELL_PX
        y = 44 + (columns - 1 - column) * _CELL_PX
        parts.append(
            f"<rect x='{x}' y='{y}' width='{_CELL_PX - 3}' height='{_CELL_PX - 3}' "
            f"fill='{_mixed(share)}' stroke='{_FAINT}'/>"
        )
        middle = x + _CELL_PX / 2 - 2
        words = f"{cell['successes']}/{cell['episodes']}"
        parts.append(_text(middle, y + 30, words, 14, anchor="middle", weight="bold"))
        at = ", ".join(f"{round(100 * metres) or 0}" for metres in cell["at"]) + " cm"
        parts.append(_text(middle, y + 48, at, 9, anchor="middle"))
    parts.append(
        _text(16, 44 + columns * _CELL_PX + 18, "x up, y to the left, from the arm's base", 11)
    )
    title_px = 32 + _LETTER_PX * len(f"{one['variant']}: successes by place")
    return _svg(max(title_px, 96 + rows * _CELL_PX), 80 + columns * _CELL_PX, parts)


def _mixed(share: float) -> str:
    """From pale red over white to green."""
    pale_red, white, green = (240, 190, 186), (250, 250, 246), (150, 214, 170)
    low, high = (pale_red, white) if share < 0.5 else (white, green)
    part = 2 * share if share < 0.5 else 2 * share - 1
    mixed = [round(a + (b - a) * part) for a, b in zip(low, high, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def page(content: Mapping[str, Any], films: str) -> str:
    """The whole report as HTML; `films` is the folder of the films, relative to the page."""
    each = content["variants"]
    grids = "".join(grid_chart(one) for one in each if one["cells"])
    notes = [
        f"Intervals: {content['methods']['ci95']}. {content['methods']['paired']}.",
        f"Chosen: {content['chosen']} ({content['why_chosen']}).",
    ]
    if content["told"]:
        notes.append(f"The policy was told {content['told']}.")
    if content["rendered_cameras"]:
        notes.append("It saw rendered pictures: no evidence for a policy trained on real ones.")
    body = [
        f"<h1>{_safe(content['task'])}</h1>",
        chart(content),
        *(f"<p>{_safe(note)}</p>" for note in notes),
        grids,
        _numbers(each),
        _pairs(content["paired"]) if content["paired"] else "",
        *(_episodes(one, films) for one in each),
        f"<p class='faint'>source {_safe(content['source'])}, robotd {_safe(content['git'])}, "
        f"scene {_safe(content['scene_sha'][:12])}</p>",
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{_safe(content['task'])}: evaluation</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


_STYLE = (
    "body{font:15px/1.5 Helvetica,Arial,sans-serif;color:#1c2733;max-width:62em;margin:2em auto;"
    "padding:0 1em}table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #c8d0d8;"
    "padding:.25em .6em;text-align:right}td:first-child,th:first-child{text-align:left}"
    ".faint{color:#6b7785}.bad{color:#b23b4c}summary{cursor:pointer;font-weight:bold}svg{max-width:100%}"
)


def _numbers(each: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "",
        "success",
        "95 %",
        "pick",
        "drop",
        "steps",
        "grip at least",
        "slips",
        "chunk p95 ms",
    )
    rows = []
    for one in each:
        low, high = one["ci95"]
        rows.append(
            (
                one["variant"],
                f"{one['successes']} of {one['episodes']}",
                f"{low:.0%} to {high:.0%}",
                _cell(one["pick_rate"], "{:.1%}"),
                _cell(one["drop_rate"], "{:.1%}"),
                f"{one['mean_steps']:.1f}",
                _cell(one["grip"]["margin_min"], "{:g}×"),
                _cell(one["grip"]["slips"], "{}"),
                str(one["timing"]["chunk_ms"].get("p95", "")),
            )
        )
    return _table(head, rows)


def _cell(value: float | None, form: str) -> str:
    """Empty for what nobody measured."""
    return "" if value is None else form.format(value)


def _millimetres(metres: float | None) -> str:
    return "" if metres is None else f"{1000 * metres:.0f}"


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    head = ("against", "pairs", "difference", "95 %", "only it", "only the other", "p")
    rows = [
        (
            pair["against"],
            str(pair["pairs"]),
            f"{pair['difference']:+.1%}",
            f"{pair['ci95'][0]:+.0%} to {pair['ci95'][1]:+.0%}",
            str(pair["only_variant"]),
            str(pair["only_against"]),
            f"{pair['p']:.3g}",
        )
        for pair in pairs
    ]
    return f"<h2>{_safe(pairs[0]['variant'])}, on the same episodes</h2>" + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{_safe(word)}</th>" for word in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_safe(word)}</td>" for word in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _episodes(one: Mapping[str, Any], films: str) -> str:
    rows = []
    for episode in one["per_episode"]:
        good = episode["outcome"] == "success"
        name = _safe(f"{films}/{episode['film']}")
        film = f"<a href='{name}'>film</a>" if episode["film"] else ""
        seed = episode["seed"]
        who = f"episode {episode['episode']}" if seed is None else f"seed {seed}"
        place = " at {:.2f}, {:.2f} m".format(*episode["at"]) if "at" in episode else ""
        rows.append(
            f"<tr><td>{who}{place}</td>"
            f"<td class='{'' if good else 'bad'}'>{_safe(episode['outcome'].replace('_', ' '))}</td>"
            f"<td>{episode['steps']}</td><td>{_millimetres(episode['max_h'])}</td>"
            f"<td>{_millimetres(episode['dist'])}</td><td>{_cell(episode['slips'], '{}')}</td>"
            f"<td>{film}</td></tr>"
        )
    head = "".join(
        f"<th>{word}</th>"
        for word in ("episode", "outcome", "steps", "highest mm", "from goal mm", "slips", "")
    )
    return (
        f"<details><summary>{_safe(one['variant'])}: {one['episodes']} episodes</summary>"
        f"<table><tr>{head}</tr>{''.join(rows)}</table></details>"
    )


def _used(each: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in _COLOURS if any(name in one["outcomes"] for one in each)]


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}'>"
        f"<rect width='100%' height='100%' fill='{_PAPER}'/>{''.join(parts)}</svg>"
    )


def _text(
    x: float,
    y: float,
    words: str,
    size: int = 12,
    anchor: str = "start",
    weight: str = "normal",
    ink: str = _INK,
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
        f"font-weight='{weight}' fill='{ink}' {_FONT}>{_safe(words)}</text>"
    )


def _safe(words: object) -> str:
    return html.escape(str(words), quote=True)
