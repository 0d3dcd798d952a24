"""The tables of a study in a terminal."""

import polars as pl
from rich import box
from rich.table import Table

from keras_wgd.experiments.analysis.frames import SETTING
from keras_wgd.experiments.metrics import METRICS
from keras_wgd.report import cells, display_names, layout


def rich_tables(summary: pl.DataFrame) -> list[Table]:
    """A table for each setting of `Analysis.summary`, for a terminal of 80 columns.

    A mean is bold if it is significantly better: see `cells.is_better`.
    """
    tables = []
    for part in summary.partition_by(SETTING, maintain_order=True):
        table = Table(
            title=f"{display_names.title(part.row(0, named=True))}: {_seeds(part)}",
            caption="All but the loss in percent; recall and precision are means over "
            "the classes; gain is accuracy minus plain accuracy, seed by seed, and p "
            "that of a paired t test; *: of the runs that did not diverge.",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=0,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("optimizer")
        for head in ("accuracy", "loss", "recall", "prec.", "kappa", "gain", "p"):
            table.add_column(head, justify="right", no_wrap=True)
        for rows in layout.blocks(part):
            for row in rows:
                table.add_row(*_terminal_cells(row, rows))
            table.add_section()
        tables.append(table)
    return tables


def _seeds(part):
    """The number of seeds of a setting, for the title of its table."""
    seeds = part["seeds"].unique().sort().to_list()
    if seeds == [1]:
        return "one seed"
    return f"mean±half of the 95 % interval over {' or '.join(map(str, seeds))} seeds"


def _terminal_cells(row, rows):
    """The cells of a line of 80 columns, with the main intervals."""
    plain = row["arm"] == "plain"
    block, arm = display_names.block_name(row), display_names.arm_name(row["arm"])
    found = [block if plain else arm]
    for name in METRICS:
        text = cells.mean_text(row, name, compact=True)
        if name not in ("accuracy", "loss"):
            text = text.partition("±")[0]
        better = cells.is_better(row, rows, name)
        found.append(f"[bold]{text}[/bold]" if better else text)
    if plain:
        return [*found, "", ""]
    gain = cells.mean_text(row, "accuracy_gain", compact=True)
    return [*found, gain, cells.p_text(row["accuracy_gain_p"]).replace("0.", ".")]
