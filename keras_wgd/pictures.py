"""Charts as files, and what draws them on a page: the work of vl-convert."""

import functools
import multiprocessing
import os
import re
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from keras_wgd.files import atomic


def vega_lite() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert names it."""
    import altair as alt

    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def processes() -> ProcessPoolExecutor:
    """Processes for `draw` and `bundle`: vl-convert does one thing at a time."""
    return ProcessPoolExecutor(
        min(os.cpu_count() or 1, 4), mp_context=multiprocessing.get_context("spawn")
    )


def write(
    folder: Path, specs: Mapping[str, dict[str, Any]], vega_lite: str
) -> list[Path]:
    """Write each chart as PNG and as SVG.

    Args:
        folder: Where to; it is made where it is missing.
        specs: The charts by name, as dictionaries of Vega-Lite.
        vega_lite: The version of Vega-Lite.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [draw(folder, name, spec, vega_lite) for name, spec in specs.items()]
    return [path for paths in drawn for path in paths]


def draw(
    folder: Path, name: str, spec: dict[str, Any], vega_lite: str
) -> tuple[Path, Path]:
    """Write one chart as PNG and as SVG.

    Args:
        folder: Where to.
        name: What the files are called.
        spec: The chart.
        vega_lite: The version of Vega-Lite.

    Returns:
        The two files.
    """
    import vl_convert

    found = vl_convert.vegalite_to_svg({**spec, "background": "white"}, vega_lite)
    svg = _renumber(found)
    png = vl_convert.svg_to_png(svg, scale=2)
    paths = (folder / f"{name}.png", folder / f"{name}.svg")
    for path, data in zip(paths, (png, svg.encode()), strict=True):
        with atomic(path) as draft:
            draft.write_bytes(data)
    return paths


@functools.cache
def bundle(vega_lite: str) -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, as vl-convert carries them.

    Args:
        vega_lite: The version of Vega-Lite.
    """
    import vl_convert

    script = vl_convert.javascript_bundle(  # type: ignore[call-arg]
        vl_version=vega_lite
    )
    # Inside a page these would end the script, or keep it from ending.
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _renumber(svg: str) -> str:
    """Count the clips of a picture from 0; Vega counts on from the one before."""
    names = dict.fromkeys(re.findall(r'id="(clip\d+)"', svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(names)}
    return re.sub(
        r'(id="|url\(#)(clip\d+)(?=["\)])',
        lambda found: found[1] + numbers.get(found[2], found[2]),
        svg,
    )
