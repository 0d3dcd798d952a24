"""The command line: the only place that prints, and that ends the process."""

import contextlib
import os
import signal
import sys
import threading
from typing import Annotated

import typer

import keras_wgd
from keras_wgd.cli import benchmarks, help, networks, options, reports, runs, studies
from keras_wgd.cli.comparisons import command
from keras_wgd.experiments.launch.events import FULL
from keras_wgd.files import printable

# The exit codes of a shell for a process that a signal has ended.
_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

cli = typer.Typer(
    cls=help.Group,
    help="Whitened gradient descent for Keras: networks, comparisons, runs, studies "
    "and benchmarks.",
    epilog="Exit codes: 0, 1 if a run failed, 2 for an error in the command or its "
    "input, 130 after Ctrl-C, 143 after SIGTERM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    networks.kernels,
    command.compare,
    runs.run,
    studies.study,
    reports.report,
    benchmarks.bench,
):
    cli.command(cls=help.Command, epilog=help.epilog(_command.__name__))(_command)


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
    """Run a command and return its exit code. An error is one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _sigterm_as_exit():
            code = cli(
                studies.with_ray_address(arguments),
                prog_name=options.PROGRAM,
                standalone_mode=False,
            )
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # none where the help has been shown instead
            _print_error(message)
        return 2
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            reason = (
                "the disk is full; make room, and the same command resumes each run "
                "from its last whole epoch"
            )
        _print_error(reason + (f": {error.filename}" if error.filename else ""))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except SystemExit as end:
        if end.code in (None, 0, 1):  # after a shell's request for completion
            return end.code or 0
        # Of SIGTERM: Ray has a handler of its own, which raises it too.
        print("keras-wgd: stopped by SIGTERM", file=sys.stderr)
        return _TERMINATED
    if code == _INTERRUPTED:  # typer, too, makes it of Ctrl-C
        print("keras-wgd: interrupted", file=sys.stderr)
    return code or 0


def _print_error(message):
    print(f"keras-wgd: error: {printable(message)}", file=sys.stderr)


@contextlib.contextmanager
def _sigterm_as_exit():
    """SIGTERM raises SystemExit, so that open files are closed, as after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads get no signals
        return

    def end(number, frame):
        signal.signal(number, signal.SIG_IGN)  # a second one does not break off the end
        raise SystemExit(_TERMINATED)

    def end_later(ignored):
        """For what Python ignores: `end` may have raised in a destructor."""
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
