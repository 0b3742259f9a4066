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
from threading import RLock
from types import CodeType
from typing import Any

import llvmlite
import numba
import numpy as np

from flashode.engines.compiled import disk_cache

# How Numba compiles: what IEEE arithmetic says of infinities, NaN and divisions by zero, and every operation
# rounded; or a product and a sum may be one.
STRICT: dict[str, Any] = {"error_model": "numpy"}
CONTRACTED: dict[str, Any] = {**STRICT, "fastmath": {"contract"}}


# Held by whoever compiles, and over a fork: a process that began amid a compilation of another thread would
# wait for locks of Numba's and LLVM's that nobody in it holds, and have what they guard half done.
compiling = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=compiling.acquire, after_in_parent=compiling.release, after_in_child=compiling.release
    )

# Read with the modules, not when something is compiled: the files may be others' by then, and the modules
# are not. Where only bytecode is installed, nothing says that it is the same.
_TEXTS = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))] or [os.urandom(32)]
# Settings of Numba's that code depends on, beside the processor's.
_SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "CPU_NAME",
    "CPU_FEATURES",
    "ENABLE_AVX",
    "USING_SVML",
    "DEBUGINFO_DEFAULT",
)


@cache
def installation() -> str:
    """Names everything but the text of a function that its code depends on: of equal names it is the same."""
    versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
    settings = [f"{name} {getattr(numba.config, name, None)!r}" for name in _SETTINGS]
    return disk_cache.key_of(*versions, repr(_processor()), *settings, *_TEXTS)


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

    For a dispatcher: ``dispatcher._cache = CodeCache(text, function)``.

    Args:
        text: Of the function and all that it depends on, but for the modules of this folder.
        function: The function.
    """

    cache_path = None

    def __init__(self, text: str, function: Callable[..., Any]) -> None:
        self._text = text
        self._function = function

    def _key(self, signature: Any) -> str:
        code = _in_words(self._function.__code__)
        return disk_cache.key_of("numba", installation(), self._text, code, str(signature))

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


def _in_words(code: CodeType) -> str:
    """The instructions of a function, the same in every process."""
    constants = [
        _in_words(constant)
        if isinstance(constant, CodeType)
        else repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
        for constant in code.co_consts
    ]
    return repr((code.co_code, code.co_names, constants))


def kept(dispatcher: Any) -> Any:
    """A function of Numba's, at the head of a module of this folder, that other processes find compiled."""
    function = dispatcher.py_func
    dispatcher._cache = CodeCache(f"{function.__module__}.{function.__qualname__}", function)
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
        callback = _callback(function, signature, CodeCache(f"{text}\0{disjoint}", function), disjoint)
    except (AttributeError, ImportError, NameError, TypeError):
        callback = numba.cfunc(signature, **CONTRACTED)(function)
    return Compiled(callback)


def _callback(function: Callable[..., Any], signature: Any, code_cache: CodeCache, disjoint: bool) -> Any:
    """The work of `numba.cfunc`, which has no argument for a cache."""
    from numba.core import sigutils

    ccallback: Any = importlib.import_module("numba.core.ccallback")

    class Compiler(ccallback._CFuncCompiler):  # type: ignore[misc]
        def _customize_flags(self, flags: Any) -> Any:
            flags.noalias = disjoint
            return super()._customize_flags(flags)

    callback = ccallback.CFunc(function, sigutils.normalize_signature(signature), {}, dict(CONTRACTED))
    callback._compiler = Compiler(
        function, callback._targetdescr, dict(CONTRACTED), {}, callback._compiler.pipeline_class
    )
    callback._cache = code_cache
    callback.compile()
    return callback
