"""Charts as PNG and SVG files, and the script that draws them in a page."""

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
    """Processes for `draw` and `bundle`: vl-convert runs one call at a time."""
    return ProcessPoolExecutor(
        min(os.cpu_count() or 1, 4), mp_context=multiprocessing.get_context("spawn")
    )


def write(
    folder: Path, specs: Mapping[str, dict[str, Any]], vega_lite: str
) -> list[Path]:
    """Draw charts, by name, in a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [draw(folder, name, spec, vega_lite) for name, spec in specs.items()]
    return [path for paths in drawn for path in paths]


def draw(
    folder: Path, name: str, spec: dict[str, Any], vega_lite: str
) -> tuple[Path, Path]:
    """Draw one chart as `name.png` and `name.svg`.

    The version of Vega-Lite is an argument so that a process does not import Altair.
    """
    import vl_convert

    spec = {**spec, "background": "white"}
    svg = _renumber(vl_convert.vegalite_to_svg(spec, vega_lite))
    png = vl_convert.svg_to_png(svg, scale=2)
    paths = (folder / f"{name}.png", folder / f"{name}.svg")
    for path, data in zip(paths, (png, svg.encode()), strict=True):
        with atomic(path) as draft:
            draft.write_bytes(data)
    return paths


@functools.cache
def bundle(vega_lite: str) -> str:
    """Vega, Vega-Lite and Vega-Embed as one script for a page."""
    import vl_convert

    script = vl_convert.javascript_bundle(  # type: ignore[call-arg]
        vl_version=vega_lite
    )
    # In a page, "</script" would end the script and "<!--" could hide its end.
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _renumber(svg: str) -> str:
    """Number the clip paths of a picture from 0, so that files are reproducible."""
    names = dict.fromkeys(re.findall(r'id="(clip\d+)"', svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(names)}
    return re.sub(
        r'(id="|url\(#)(clip\d+)(?=["\)])',
        lambda found: found[1] + numbers.get(found[2], found[2]),
        svg,
    )
