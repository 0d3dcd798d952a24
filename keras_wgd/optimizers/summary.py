"""A plan for people and programs: in a terminal, in a notebook, as JSON."""

import html
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from keras_wgd.files import printable
from keras_wgd.optimizers import means
from keras_wgd.optimizers.folding import fold
from keras_wgd.optimizers.plan import WhiteningPlan

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

_HEADS = ("kernel", "shape", "layer", "mean of", "removed")


class Summary:
    """Which variables are centred, over what, and why others are not.

    The names in it may be those of a stranger's file: they are shown as text.

    Args:
        plan: What is decided.
        title: What it is decided for, in one line.
    """

    def __init__(self, plan: WhiteningPlan, title: str):
        self._plan = plan
        self._title = printable(title)

    def print(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print a table, in a notebook as HTML, or hand its text to `print_fn`."""
        from rich.console import Console
        from rich.measure import Measurement

        console = Console() if print_fn is None else Console(width=120)
        if print_fn is None and console.is_jupyter:
            from IPython.display import display

            display(self)
            return
        table = self.table()
        # A table that is too wide would be cut.
        endless = console.options.update(max_width=10_000)
        least = Measurement.get(console, endless, table).minimum
        console.width = max(console.width, least)
        if print_fn is None:
            console.print(table)
            return
        with console.capture() as capture:
            console.print(table)
        print_fn(capture.get())

    def table(self) -> "Table":
        """A `rich` table of the kernels, and a line for each kind of the rest.

        Blocks of kernels that are alike are one row for each kernel of a block, which
        names them all.
        """
        from rich import box
        from rich.cells import cell_len
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, show_edge=False)
        table.title = escape(f"{self._title}\n")
        table.padding = (0, 1, 0, 0)
        table.title_justify = table.caption_justify = "left"
        rows = self._cells()
        for head, column in zip(_HEADS, zip(_HEADS, *rows, strict=True), strict=True):
            justify: JustifyMethod = "right" if head == "removed" else "left"
            whole = None if head == "kernel" else max(map(cell_len, column))
            table.add_column(
                head, no_wrap=bool(whole), min_width=whole, justify=justify
            )
        for name, *cells in rows:
            table.add_row(_Name(name), *map(escape, cells))
        table.caption = escape("\n".join(["", *self._notes()]))
        return table

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Iterable[str]) -> str:
            style = ' style="text-align: left"'
            inside = (f"<{tag}{style}>{html.escape(c)}</{tag}>" for c in cells)
            return f"<tr>{''.join(inside)}</tr>"

        rows = "".join(row("td", cells) for cells in self._cells())
        return (
            f"<p>{html.escape(self._title)}</p>"
            f"<table><thead>{row('th', _HEADS)}</thead><tbody>{rows}</tbody></table>"
            f"<p>{'<br/>'.join(map(html.escape, self._notes()))}</p>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The same for a program, ready for JSON; all variables, none in words."""
        return {
            "mean_over": self._plan.mean_over,
            "variables": [
                {
                    "path": row.path,
                    "shape": list(row.shape),
                    "layer": row.kernel.layer if row.kernel else None,
                    "centred": row.axes is not None,
                    "axes": None if row.axes is None else list(row.axes),
                    "groups": row.groups,
                    "mean_size": row.mean_size,
                    "reason": row.reason,
                }
                for row in self._plan.rows
            ],
        }

    def _cells(self) -> list[tuple[str, ...]]:
        return fold(list(self._kernel_cells()))

    def _kernel_cells(self) -> Iterator[tuple[str, ...]]:
        roots = {row.path.split("/")[0] for row in self._plan.rows}
        root = roots.pop() if len(roots) == 1 else ""
        for row in self._plan.rows:
            if row.kernel is None:
                continue
            unit = means.get(self._plan.mean_over).unit[row.mean_size == 1]
            yield (
                printable(row.path.removeprefix(f"{root}/").removesuffix("/kernel")),
                "x".join(map(str, row.shape)),
                printable(row.kernel.layer),
                f"{row.mean_size} {unit}"
                + (f", {row.groups} groups" if row.groups > 1 else ""),
                "none" if row.axes is None else f"{1 / row.mean_size:.2%}",
            )

    def _notes(self) -> Iterator[str]:
        rows = self._plan.rows
        reasons = Counter(row.reason for row in rows)
        yield f"{reasons.pop('', 0)} of {len(rows)} trainable variables centred"
        for reason, count in reasons.most_common():
            yield printable(f"{count} left alone: {reason}")
        if len(self._cells()) < len(self._plan.kernels):
            yield "[1-3] in a name: a row for kernels 1 to 3, alike in all else"
        if any(row.kernel and row.kernel.layer.endswith("?") for row in rows):
            yield "? told by name and shape; kernels=model goes by the layers"


class _Name:
    """A name for `rich` that is broken after `/` and `_`, and never inside a word."""

    def __init__(self, name: str):
        self._name = name

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "RenderResult":
        from rich.text import Text

        wrapper = _WordWrapper(width=options.max_width, break_long_words=False)
        yield Text("\n".join(wrapper.wrap(self._name)), no_wrap=True)

    def __rich_measure__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Measurement":
        from rich.measure import Measurement

        words = _WordWrapper.wordsep_re.split(self._name)
        return Measurement(max(map(len, words)), len(self._name))


class _WordWrapper(textwrap.TextWrapper):
    wordsep_re = re.compile("(?<=[/_])")
