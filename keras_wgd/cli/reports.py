"""`keras-wgd report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_wgd import progress
from keras_wgd.cli import display
from keras_wgd.cli.options import Json, UserError, folder, folder_option, user_errors
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.store import collection
from keras_wgd.experiments.store.results import REPORT


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of studies, from one machine or several.", parser=folder
        ),
    ],
    out: Annotated[
        Path | None,
        folder_option("The folder for the report.", "report/ in the first folder"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the tables of the paper beside ours, and write them with figures."""
    from keras_wgd.report import report as reports

    console = Console(stderr=as_json)
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
