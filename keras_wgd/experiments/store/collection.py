"""The results of several folders, from one machine or many."""

from collections.abc import Sequence
from pathlib import Path

from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.files import printable
from keras_wgd.settings import as_text


def collect(folders: Sequence[Path]) -> tuple[list[Result], list[str]]:
    """Read the runs of several studies, each folder once.

    Returns:
        The results, and a line for each folder of a run that is not used: it could
        not be read, or an earlier folder has the same run on the same backend with
        the same settings.

    Raises:
        ValueError: If one is no folder.
    """
    for path in folders:
        if not path.is_dir():
            raise ValueError(
                "folders must be folders of studies. Received: "
                f"{printable(path)}, which is no folder"
            )
    found: dict[tuple[str, ...], Result] = {}
    first: dict[tuple[str, ...], Path] = {}
    problems: list[str] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        read, unreadable = results.read_all(folder)
        problems += unreadable
        for result in read:
            run = (result.spec.id, result.backend, as_text(result.settings))
            if run in found:
                path = results.path_of(folder, result.spec)
                text = f"{path} is the same run as that of {first[run]}"
                problems.append(printable(text))
            else:
                found[run], first[run] = result, folder
    return list(found.values()), problems
