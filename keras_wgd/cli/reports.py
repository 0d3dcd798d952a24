"""`keras-wgd report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_wgd import progress
from keras_wgd.cli import display
from keras_wgd.cli.options import Json, UserError, folder, folder_option, user_errors
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.store import collection, comparison
from keras_wgd.experiments.store.results import REPORT, REPORT_PAGE


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of studies, from one machine or several; or one folder of "
            "compare.",
            parser=folder,
        ),
    ],
    out: Annotated[
        Path | None,
        folder_option("The folder for the report.", "report/ in the first folder"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the tables of the paper beside ours, and write them with figures.

    For a folder of compare, print its outcome so far, and write its page.
    """
    from keras_wgd.report import report as reports

    console = Console(stderr=as_json)
    if any((path / comparison.NAME).exists() for path in folders):
        _report_comparison(console, folders, out, as_json)
        return
    with user_errors():
        results, problems = collection.collect(folders)
        display.print_problems(console, problems)
        if not results:
            raise UserError(
                "folders must hold results of runs. Received: "
                f"{', '.join(map(str, folders))}, with none"
            )
        place = out or folders[0] / REPORT
        analysis = Analysis.of(results)
        with progress.status(console, "drawing the figures"):
            written = reports.write(place, analysis, problems)
        if not as_json:
            display.print_tables(console, analysis)
        display.print_report(console, written)
    if as_json:
        print(analysis.summary.write_json())


def _report_comparison(console, folders, out, as_json):
    from keras_wgd.comparison import Comparison

    with user_errors():
        if len(folders) > 1:
            raise UserError(
                "folders must be of studies, or one folder of compare. "
                f"Received: {', '.join(map(str, folders))}"
            )
        found = Comparison.read(folders[0])
        place = out or folders[0] / REPORT
        place.mkdir(parents=True, exist_ok=True)
        page = found.report(place / REPORT_PAGE)
    if as_json:
        print(found.table().write_json())
    else:
        print(found)
    display.print_report(console, [page])
