"""`python -m keras_wgd`, the same as the command `keras-wgd`."""

import os
import sys

# The packages of the extra `study`; some of them may be installed without the others.
STUDY = {
    "altair",
    "filelock",
    "jinja2",
    "PIL",
    "polars",
    "rich",
    "scipy",
    "sklearn",
    "typer",
    "vl_convert",
}


def main() -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 if a run failed, 2 for an error in the command or its
        input, 130 after Ctrl-C, 143 after SIGTERM.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")
    try:
        from keras_wgd.cli import app

        return app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in STUDY:
            raise
        print(
            f"keras-wgd: error: {package} is not installed; the command line "
            "needs pip install 'keras-wgd[study]'",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
