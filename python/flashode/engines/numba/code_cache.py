"""Compiled functions, kept on disk for later processes.

What Numba's own cache keeps of a function (its machine code, and what it takes to call it) is kept in the
cache of all compiled engines, which is safe against others who write it, and against what happens to files.
Where another version of Numba is not as expected, functions are compiled in every process, and work as well.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np

from flashode.engines.compiled import disk_cache

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nopython": True}


@cache
def installation() -> str:
    """Names everything but the text of a function that its code depends on: of equal names it is the same."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
    # Where only bytecode is installed, nothing says that it is the same.
    texts = texts or [os.urandom(32)]
    versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
    return disk_cache.key_of(*versions, repr(_processor()), *texts)


def _processor() -> Any:
    """The architecture, the processor's name, and what it has."""
    from numba.core.registry import cpu_target

    return cpu_target.target_context.codegen().magic_tuple()


# A compilation that takes longer says so.
SLOW_SECONDS = 1.0
_count = 0


def compilations() -> int:
    """How many functions this process has compiled, and not found compiled."""
    return _count


class CodeCache:
    """What a function, or a dispatcher of Numba's, takes for its cache.

    For a dispatcher: ``dispatcher._cache = CodeCache(text)``.

    Args:
        text: Of the function and all that it depends on, but for the modules of this folder.
    """

    cache_path = None

    def __init__(self, text: str) -> None:
        self._text = text

    def _key(self, signature: Any) -> str:
        return disk_cache.key_of("numba", installation(), self._text, str(signature))

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function; None where it is not there, or not to be understood."""
        entry = disk_cache.read(self._key(signature))
        if entry is None:
            return None
        try:
            from numba.core.compiler import CompileResult
            from numba.core.runtime import rtsys

            # What code may call. `refresh` would load all that can be compiled, too, in ten times the time.
            rtsys.initialize(target_context)
            return CompileResult._rebuild(target_context, *pickle.loads(entry))
        except Exception:
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keeps a function that has been compiled, if it can be."""
        global _count
        _count += 1
        try:
            from numba.core.serialize import dumps

            if result.lifted or result.library.has_dynamic_globals:
                return
            entry = dumps(result._reduce())
        except Exception:
            return
        disk_cache.write(self._key(signature), entry)

    def enable(self) -> None:
        """It always is."""

    def disable(self) -> None:
        """It always is enabled."""

    def flush(self) -> None:
        """Entries are removed when there is no more room."""


def kept(dispatcher: Any) -> Any:
    """A function of Numba's, at the head of a module of this folder, that other processes find compiled."""
    function = dispatcher.py_func
    dispatcher._cache = CodeCache(f"{function.__module__}.{function.__qualname__}")
    return dispatcher


class Compiled:
    """A function as machine code.

    Attributes:
        address: Where it is, for callers by the conventions of C. Valid as long as this object is.
    """

    def __init__(self, callback: Any) -> None:
        self._callback = callback
        self.address: int = callback.address


def compile_function(
    function: Callable[..., Any], signature: Any, text: str, *, disjoint: bool = False
) -> Compiled:
    """Compiles a function, or finds it compiled.

    Args:
        function: The function.
        signature: The types of what it takes and gives.
        text: As of a `CodeCache`.
        disjoint: Whether what is written by one of its pointers is not read or written by another: there are
            fewer checks then.
    """
    callback: Any
    try:
        callback = _callback(function, signature, CodeCache(f"{text}\0{disjoint}"), disjoint)
    except (AttributeError, ImportError, NameError, TypeError):
        callback = numba.cfunc(signature, **_OPTIONS)(function)
    return Compiled(callback)


def _callback(function: Callable[..., Any], signature: Any, code_cache: CodeCache, disjoint: bool) -> Any:
    """The work of `numba.cfunc`, which has no argument for a cache."""
    from numba.core import sigutils

    ccallback: Any = importlib.import_module("numba.core.ccallback")

    class Compiler(ccallback._CFuncCompiler):  # type: ignore[misc]
        def _customize_flags(self, flags: Any) -> Any:
            flags.noalias = disjoint
            return super()._customize_flags(flags)

    callback = ccallback.CFunc(function, sigutils.normalize_signature(signature), {}, dict(_OPTIONS))
    callback._compiler = Compiler(
        function, callback._targetdescr, dict(_OPTIONS), {}, callback._compiler.pipeline_class
    )
    callback._cache = code_cache
    callback.compile()
    return callback
