"""Pages that work without a network: each is one file."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import jinja2

from keras_wgd.report.charts import Chart


def render(template: str, drawn: Mapping[str, Chart], vega: str, **fields: Any) -> str:
    """A page of a template of the folder `page`, with its charts.

    `vega` is that of `pictures.bundle`. Texts are escaped, but must be printable.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_wgd.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    scripts = [vega, environment.get_template("page.js").render()]
    return environment.get_template(template).render(
        policy=_policy(scripts),
        vega=scripts[0],
        script=scripts[1],
        style=environment.get_template("page.css").render(),
        # In place of the titles of the charts.
        captions={
            name: (
                f"Figure {number}. {spec['title']['text']}",
                ". ".join(spec["title"]["subtitle"]),
            )
            for number, (name, spec) in enumerate(drawn.items(), start=1)
        },
        specs={
            name: {key: part for key, part in spec.items() if key != "title"}
            for name, spec in drawn.items()
        },
        **fields,
    )


def _policy(scripts):
    """A content security policy: these scripts, and nothing from anywhere."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
