"""Draws images/means.svg: which elements of a kernel share each of the three means.

    python docs/means.py

The kernel is 3 x 3, with 2 input channels and 4 filters. The axes are those of
`ConvKernel.axes`, so the drawing shows what the library does. Colors are those of the
site's theme where there is one, else those of the reader's.
"""

import itertools
from pathlib import Path

from keras_wgd import ConvKernel

FILE = Path(__file__).parent / "images/means.svg"

KERNEL = ConvKernel(path="kernel", shape=(3, 3, 2, 4), layer="Conv2D")
# For each mean, one element of each of the sets that are colored.
MARKED = {
    "filters": [(0, 0, 0, 0), (1, 2, 1, 0)],
    "fan_in": [(0, 0, 0, 0), (0, 0, 0, 2)],
    "kernels": [(0, 0, 0, 0), (1, 2, 0, 0)],
}
CELL, GAP, SIDE = 13, 11, 3
TILE = SIDE * CELL + GAP
LEFT, TOP, PANEL = 34, 58, 4 * TILE + 46

STYLE = """
    .means text { fill: var(--md-default-fg-color, #222) }
    .means text { font: 12px Helvetica, Arial, sans-serif }
    .means .name { font: 600 14px ui-monospace, monospace }
    .means .cell { fill: none; stroke: var(--md-default-fg-color--light, #999) }
    .means .one { fill: #0d9488 }
    .means .other { fill: #e08a1e }
    @media (prefers-color-scheme: dark) {
      .means text { fill: var(--md-default-fg-color, #ddd) }
      .means .cell { stroke: var(--md-default-fg-color--light, #888) }
    }
"""


def drawing() -> str:
    """The three panels, side by side."""
    width, height = LEFT + 3 * PANEL - 40, TOP + 2 * TILE + 24
    panels = "\n".join(
        _panel(mean, elements, LEFT + number * PANEL)
        for number, (mean, elements) in enumerate(MARKED.items())
    )
    middle = TOP + TILE - GAP / 2
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" class="means" role="img"
    viewBox="0 0 {width} {height}" width="{width}" height="{height}"
    aria-label="Which elements of a kernel of 3 x 3, 2 input channels and 4 filters \
share a mean">
  <style>{STYLE}  </style>
  <text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">\
input channels</text>
{panels}
</svg>
"""


def _panel(mean, elements, left):
    axes = KERNEL.axes(mean)
    cells = []
    for element in itertools.product(*map(range, KERNEL.shape)):
        row, column, channel, filter_ = element
        marks = [_shares(element, other, axes) for other in elements]
        style = "one" if marks[0] else "other" if marks[1] else ""
        x = left + filter_ * TILE + column * CELL
        y = TOP + channel * TILE + row * CELL
        cells.append(
            f'<rect class="{f"cell {style}".strip()}" '
            f'x="{x}" y="{y}" width="{CELL}" height="{CELL}"/>'
        )
    middle = left + (4 * TILE - GAP) / 2
    below = TOP + 2 * TILE + 10
    return "\n".join(
        [
            "  <g>",
            f'    <text class="name" x="{middle}" y="20" text-anchor="middle">'
            f"{mean}</text>",
            f'    <text x="{middle}" y="46" text-anchor="middle">filters</text>',
            *(f"    {cell}" for cell in cells),
            f'    <text x="{middle}" y="{below}" text-anchor="middle">'
            f"each mean is of {KERNEL.mean_size(mean)} elements</text>",
            "  </g>",
        ]
    )


def _shares(element, other, axes):
    """Whether two elements are in one mean: they differ along its axes only."""
    over = {axis % len(element) for axis in axes}
    pairs = enumerate(zip(element, other, strict=True))
    return all(axis in over or one == two for axis, (one, two) in pairs)


if __name__ == "__main__":
    FILE.write_text(drawing(), encoding="utf-8")
