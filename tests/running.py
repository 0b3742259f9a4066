"""`flashode run` inside the process of the tests, which is left as it was, but for the patch."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from flashode.cli import run as command
from flashode.cli.app import app


class Result(NamedTuple):
    """How the command ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr


class ExitHandlers:
    """In the place of `atexit`: the command's own handlers, called when the test has run it."""

    def __init__(self) -> None:
        self._calls: list[partial[Any]] = []

    def register(self, call: Callable[..., Any], *args: Any) -> None:
        self._calls.append(partial(call, *args))

    def unregister(self, call: Callable[..., Any]) -> None:
        self._calls = [handler for handler in self._calls if handler.func != call]

    def run(self) -> None:
        while self._calls:
            self._calls.pop()()


def run(*arguments: str | Path) -> Result:
    """Runs it to the end, exit handlers of the command included."""
    printed, errors = io.StringIO(), io.StringIO()
    handlers = ExitHandlers()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        mock.patch.object(command, "atexit", handlers),
        _interpreter_kept(),
    ):
        try:
            app(["run"])(["run", *map(str, arguments)], prog_name="flashode")
        except SystemExit as end:
            status = end.code
        handlers.run()
    if isinstance(status, str):  # which the interpreter prints
        errors.write(f"{status}\n")
        status = 1
    return Result(status or 0, printed.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _interpreter_kept() -> Iterator[None]:
    """The command gives its process to the program."""
    argv, path, main = sys.argv, list(sys.path), sys.modules["__main__"]
    try:
        yield
    finally:
        sys.argv = argv
        sys.path[:] = path
        sys.modules["__main__"] = main
