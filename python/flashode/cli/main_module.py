"""The program of a command line as the module `__main__`, found and started as the interpreter would."""

import builtins
import importlib.util
import os
import pkgutil
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import NamedTuple

# Where programs are looked for and started; the interpreter's own parts in it are named "<frozen …>".
_STARTING = (os.path.dirname(__file__), os.path.dirname(importlib.util.__file__))


class CannotStart(Exception):
    """There is no such program, or it cannot be read: nothing of it has run."""


class _Program(NamedTuple):
    """What is to run, and the attributes that the interpreter gives its module."""

    code: CodeType
    attributes: dict[str, object]


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
        loaded = _module(program) if module else _path(program)
    except (ImportError, OSError, ValueError) as error:
        if within_program(error.__traceback__) is None:
            raise CannotStart(str(error)) from error
        raise  # by a package that the module is in
    vars(main).update(loaded.attributes, __builtins__=builtins)
    exec(loaded.code, vars(main))


def within_program(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that started the program; None if they are all."""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if os.path.dirname(file) not in _STARTING and not file.startswith("<frozen "):
            break
        traceback = traceback.tb_next
    return traceback


def _path(program: str) -> _Program:
    if not Path(program).exists():
        raise CannotStart(f"there is no file {program}")
    absolute = os.path.join(os.getcwd(), program)
    finder = pkgutil.get_importer(absolute)
    if finder is None:
        sys.path[:1] = [str(Path(program).resolve().parent)]
        return _file(absolute)
    sys.path[:1] = [absolute]
    spec = finder.find_spec("__main__", None)
    if spec is None:
        raise CannotStart(f"there is no module __main__ in {program}")
    return _specified(spec)


def _file(path: str) -> _Program:
    loader: SourceFileLoader | SourcelessFileLoader
    code: CodeType | None
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", path)
        code = loader.source_to_code(loader.get_data(path), path)
    assert code is not None, "of these loaders only a builtin module's gives none"
    return _Program(
        code,
        {"__file__": path, "__loader__": loader, "__package__": None, "__spec__": None, "__cached__": None},
    )


def _module(name: str) -> _Program:
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
        # A package of the name, or what is no package; else an import of theirs failed.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise CannotStart(f"there is no module {name}")
    return spec


def _specified(spec: ModuleSpec) -> _Program:
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise CannotStart(f"{spec.name} is no module that can be run: it has no Python code")
    return _Program(
        code,
        {
            "__file__": spec.origin,
            "__loader__": spec.loader,
            "__package__": spec.parent,
            "__spec__": spec,
            "__cached__": spec.cached,
        },
    )
