"""What the site has besides its pages: figures of the results, inlined drawings."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "examples/results"
_DRAWING = re.compile(r'<img alt="[^"]*" src="[^"]*images/(means\.svg)"\s*/?>')
_TEST = re.compile(r"(?<=<code>)test_[\w.:*]+(?=</code>)")


def on_files(files, config):
    """Add the figures of the kept results, as results/NAME.svg."""
    for path in sorted(FIGURES.rglob("*.svg")):
        name = f"results/{path.name}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_content(html, page, config, files):
    """Put a drawing into its page, for the theme's colors; let long names break."""
    images = Path(config.docs_dir) / "images"

    def inlined(found):
        drawing = (images / found[1]).read_text("utf-8")
        return f'<span class="drawing">{drawing}</span>'

    html = _DRAWING.sub(inlined, html)
    return _TEST.sub(lambda found: re.sub("(_|::)", r"\1<wbr>", found[0]), html)
