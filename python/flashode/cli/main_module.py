"""The program of a command line as the module `__main__`, started as the interpreter would."""

import builtins
import importlib.util
import os
import pkgutil
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

# Where programs are looked for and started; the interpreter's own parts in it are named "<frozen …>".
_STARTING = (os.path.dirname(__file__), os.path.dirname(importlib.util.__file__))


# Its code, its loader, and its spec; None of a script.
_Loaded = tuple[CodeType | None, Any, ModuleSpec | None]


class CannotStart(Exception):
    """There is no such program, or it cannot be read: nothing of it has run."""


def start(program: str, arguments: list[str], *, module: bool) -> None:
    """Runs a program as this process's own: `sys.argv`, `sys.path` and `__main__` are its for good.

    Threads and exit handlers of the program outlive its last line; they import, pickle and look for arguments
    then.

    Args:
        program: A file, a folder or an archive with a `__main__`, or the name of a module.
        arguments: What follows it on the command line.
        module: Whether it is the name of a module.

    Raises:
        CannotStart: If nothing of the program could run.
        BaseException: What ended the program.
    """
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = ["-m" if module else program, *arguments]
    try:
        code, loader, spec = _module(program) if module else _path(program)
    except (ImportError, OSError, ValueError) as error:
        if within_program(error.__traceback__) is None:
            raise CannotStart(str(error)) from error
        raise  # by a package that the module is in
    vars(main).update(
        __builtins__=builtins,
        __file__=loader.path if spec is None else spec.origin,
        __loader__=loader,
        __spec__=spec,
        __package__=spec and spec.parent,
        __cached__=spec and spec.cached,
    )
    assert code is not None, "only a builtin module has none"
    exec(code, vars(main))


def within_program(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that started the program; None if they are all."""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if os.path.dirname(file) not in _STARTING and not file.startswith("<frozen "):
            break
        traceback = traceback.tb_next
    return traceback


def is_part(missing: str | None, name: str) -> bool:
    """Whether the module that an import misses is the named one or a package that it is in."""
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _path(program: str) -> _Loaded:
    if not Path(program).exists():
        raise CannotStart(f"there is no file {program}")
    absolute = os.path.join(os.getcwd(), program)
    finder = pkgutil.get_importer(absolute)
    if finder is None:
        sys.path[:1] = [str(Path(program).resolve().parent)]
        if absolute.endswith(".pyc"):
            compiled = SourcelessFileLoader("__main__", absolute)
            return compiled.get_code("__main__"), compiled, None
        script = SourceFileLoader("__main__", absolute)
        return script.source_to_code(script.get_data(absolute), absolute), script, None
    sys.path[:1] = [absolute]
    spec = finder.find_spec("__main__", None)
    if spec is None:
        raise CannotStart(f"there is no module __main__ in {program}")
    return _specified(spec)


def _module(name: str) -> _Loaded:
    sys.path[:1] = [os.getcwd()]
    spec = _find(name)
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    sys.argv[0] = str(spec.origin)
    return _specified(spec)


def _find(name: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # Else it has a package whose own imports failed.
        if not is_part(error.name, name):
            raise
        spec = None
    if spec is None:
        raise CannotStart(f"there is no module {name}")
    return spec


def _specified(spec: ModuleSpec) -> _Loaded:
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise CannotStart(f"{spec.name} is no module that can be run: it has no Python code")
    return code, spec.loader, spec
