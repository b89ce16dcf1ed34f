"""The loss of a run as one SVG file: readable in a browser, in a chat and in a report."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from learning.training.watch import Window

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 40
_INK, _GRID, _LINE = "#333333", "#dddddd", "#1f6fb2"


def loss_svg(windows: Sequence[Window], title: str) -> str:
    """The curve of `windows`, the loss on a logarithmic scale where it is positive.

    Losses that are no number are left out and said so in the title.
    """
    points = [(each.step, each.loss) for each in windows if math.isfinite(each.loss)]
    missing = len(windows) - len(points)
    if missing:
        title += f" ({missing} windows without a finite loss)"
    body = _axes(points) if points else []
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="22" fill="{_INK}" font-size="14">{escape(title)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _axes(points: Sequence[tuple[int, float]]) -> list[str]:
    logarithmic = all(loss > 0 for _, loss in points)
    heights = [math.log10(loss) if logarithmic else loss for _, loss in points]
    low, high = min(heights), max(heights)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    last = max(step for step, _ in points)

    def place(step: int, height: float) -> tuple[float, float]:
        x = _LEFT + step / last * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - height) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return x, y

    body = []
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        height = low + part * (high - low)
        _, y = place(0, height)
        value = 10**height if logarithmic else height
        body.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}" fill="none"/>')
        body.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{value:.3g}</text>'
        )
    for part in (0.25, 0.5, 0.75, 1.0):
        step = round(last * part)
        x, _ = place(step, low)
        body.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="end" fill="{_INK}">'
            f"{step}</text>"
        )
    path = "L".join(
        "{:.1f} {:.1f}".format(*place(step, height))
        for (step, _), height in zip(points, heights, strict=True)
    )
    body.append(f'<path d="M{path}" stroke="{_LINE}" stroke-width="1.5" fill="none"/>')
    if len(points) == 1:
        x, y = place(points[0][0], heights[0])
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_LINE}"/>')
    return body
