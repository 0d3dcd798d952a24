"""The command line: the only place that prints, and that ends the process."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated

import typer

import keras_wgd
from keras_wgd.cli import benchmarks, help, networks, options, reports, runs, studies
from keras_wgd.cli.examples import epilog
from keras_wgd.experiments.launch.events import FULL
from keras_wgd.files import printable

# What a shell says of what a signal has ended.
_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

cli = typer.Typer(
    cls=help.Group,
    help="Whitened gradient descent for Keras: networks, runs, studies and benchmarks.",
    epilog="Exit codes: 0, 1 if a run failed, 2 for a mistake in the command or its "
    "input, 130 after Ctrl-C, 143 after SIGTERM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Run(help.Command):
    defaults = help.run_defaults()


class _Study(help.Command):
    defaults = help.preset_defaults()


_commands: list[tuple[Callable[..., None], type[help.Command]]] = [
    (networks.kernels, help.Command),
    (runs.run, _Run),
    (studies.study, _Study),
    (reports.report, help.Command),
    (benchmarks.bench, help.Command),
]
for _command, _class in _commands:
    cli.command(cls=_class, epilog=epilog(_command.__name__))(_command)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"keras-wgd {keras_wgd.__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, and end.",
        ),
    ] = False,
) -> None:
    pass


def app(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; say what is wrong in one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _raised_sigterm():
            code = (
                cli(
                    studies.with_ray_address(arguments),
                    prog_name=options.PROGRAM,
                    standalone_mode=False,
                )
                or 0
            )
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # none where the help has been shown instead
            print(f"keras-wgd: error: {printable(message)}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            reason = (
                "the disk is full; make room, and the same command goes on from the "
                "last whole epoch of each run"
            )
        where = f": {error.filename}" if error.filename else ""
        print(f"keras-wgd: error: {printable(reason + where)}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except SystemExit as end:
        if end.code in (None, 0, 1):  # what a shell asked to complete is told
            return end.code or 0
        # Of SIGTERM: Ray has a handler of its own, which raises it too.
        print("keras-wgd: stopped by SIGTERM", file=sys.stderr)
        return _TERMINATED
    if code == _INTERRUPTED:  # what typer, too, makes of Ctrl-C
        print("keras-wgd: interrupted", file=sys.stderr)
    return code


@contextlib.contextmanager
def _raised_sigterm():
    """Where SIGTERM raises SystemExit: what is open is closed, as after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which has no signals
        return

    def end(number, frame):
        signal.signal(number, signal.SIG_IGN)  # what closes is not broken off
        raise SystemExit(_TERMINATED)

    def end_later(ignored):
        """Of what Python ignores: it may be in a destructor that `end` has raised."""
        if ignored.exc_type is SystemExit:
            signal.signal(signal.SIGTERM, end)
            later = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM))
            waiting.append(later)
            later.start()
        else:
            hook(ignored)

    waiting: list[threading.Timer] = []
    before = signal.signal(signal.SIGTERM, end)
    hook, sys.unraisablehook = sys.unraisablehook, end_later
    try:
        yield
    finally:
        for later in waiting:
            later.cancel()
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)
