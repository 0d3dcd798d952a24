"""`python -m keras_wgd`, the same as the command `keras-wgd`."""

import sys


def main() -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 if a run failed, 2 for a mistake in the command or
        its input, 130 if interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        from keras_wgd.cli import app
    except ModuleNotFoundError as error:
        print(
            f"keras-wgd: error: {error.name} is not installed; the command line "
            "needs pip install 'keras-wgd[study]'",
            file=sys.stderr,
        )
        return 2
    return app()


if __name__ == "__main__":
    sys.exit(main())
