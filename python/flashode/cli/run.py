"""The command `flashode run`: a user's program, unchanged, with flashode in torchdiffeq's place."""

import atexit
import sys
from contextlib import ExitStack
from typing import Annotated, NoReturn

import typer

import flashode
from flashode.cli import main_module
from flashode.cli.terminal import FAILED, INTERRUPTED, WRONG_USE, engine_option, say_error


def run(
    program: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT",
            help="The program: a file, or with -m a module.",
            show_default=False,
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Its own arguments, options included.", show_default=False),
    ] = None,
    module: Annotated[
        bool, typer.Option("-m", help="SCRIPT is the name of a module, as of python -m.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Print a table of its solves to stderr at the end.")
    ] = False,
    engine: Annotated[str, engine_option("Which engine solves, in its main thread.")] = "auto",
) -> None:
    """Run a program written for torchdiffeq with flashode in its place.

    The program is not changed, and torchdiffeq need not be installed.

    Options of flashode come before SCRIPT; what follows it is the program's.

    The status is the program's: 1 after an exception, 130 after Ctrl-C, else what it exits with.

    Worker processes that are spawned use torchdiffeq itself; solves of forked ones are not in the table.
    """
    # For good, and undone by exit handlers registered before the program's and so called after them: threads
    # and exit handlers of the program outlive its last line, and their solves count.
    flashode.patch_torchdiffeq()
    process = ExitStack()
    atexit.register(process.close)
    process.enter_context(flashode.use_engine(engine))
    if report:
        atexit.register(_print_report, process.enter_context(flashode.record()))
    try:
        main_module.start(program, arguments or [], module=module)
    except SystemExit:
        raise
    except main_module.CannotStart as error:
        atexit.unregister(_print_report)
        say_error(error)
        raise typer.Exit(WRONG_USE) from None
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """Shows what ended the program, as the interpreter would."""
    error.__traceback__ = main_module.within_program(error.__traceback__)
    sys.excepthook(type(error), error, error.__traceback__)
    raise typer.Exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED) from None


def _print_report(solves: flashode.Report) -> None:
    sys.stdout.flush()
    title = "flashode: solves\n" if solves.solves else "flashode: "
    print(f"{title}{solves}", file=sys.stderr)
