"""Watching what runs: the code that a call executes, instruction by instruction.

Python code is deterministic. As long as nothing that a call has read is another, the next one takes the same
branches: what it depends on is what was executed, and not what might have been. Code that nobody has looked
at, and functions written in C whose effects nobody could undo, are not let run.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Collection, Iterator, Set
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from flashode.capture.guards.bytecode import Executed, decoded, instructions, is_constant, nested
from flashode.capture.guards.trust import forbidden, home_of, opaque, own, trusted_name, trusted_package
from flashode.capture.refusal import PLAIN, Refusal
from flashode.declined import Reason

T = TypeVar("T")

# Our own code beneath a call of the user's: what records it.
_RECORDS = ("flashode.capture", "flashode.dispatch", "flashode.state")
_IMPORTS = "importlib._bootstrap"
# A call that begins anew each time it is stopped is let go on.
_MOST_STOPS = 100
_BY_NAME = "call it by its name"
_IMPORTED = "import it at the top of the file"
# What pybind11 binds functions to.
_BINDING = "pybind11"
# What a method written in C may change of these is undone, or cannot change.
_METHODS_OF: tuple[type, ...] = (
    *(bool, int, float, complex, str, bytes, tuple, frozenset, range, slice, type(None)),
    *(list, dict, set, type({}.keys()), type({}.values()), type({}.items()), types.MappingProxyType),
    *(Tensor, nn.Parameter, np.ndarray, np.generic, np.dtype, torch.dtype, torch.device, torch.Size),
    *(types.CodeType, types.GeneratorType),
)


class Unseen(Exception):
    """A call came to code that nobody has looked at.

    Attributes:
        module: The name of its module.
    """

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


class _Stopped(BaseException):
    """Ends a call; no handler of the user's for exceptions catches it."""


class Execution:
    """What calls of a function execute."""

    def __init__(
        self, codes: Collection[types.CodeType], modules: Collection[str], unwatchable: Set[str] = frozenset()
    ) -> None:
        """Nothing has run yet.

        Args:
            codes: The code that has been looked at: no other is let run.
            modules: Where it is from, beside the user's own.
            unwatchable: Names of what may change in a way that could not be undone.
        """
        self._codes = {part for code in codes for part in nested(code)}
        self._unwatchable = unwatchable
        self._forbidden: dict[types.CodeType, dict[int, str]] = {}
        self._modules = modules
        self._offsets: dict[types.CodeType, set[int]] = {}
        self._stopped: Unseen | Refusal | None = None
        self._beneath = 0
        self._stops = 0

    @property
    def executed(self) -> Executed:
        """Of each code object of the user's that has run, which instructions have."""
        return {code: frozenset(offsets) for code, offsets in self._offsets.items()}

    def run(self, call: Callable[[], T]) -> T:
        """What a call gives.

        Raises:
            Unseen: It came to code that has to be looked at first.
            Refusal: It came to something that is not let run.
        """
        with self._watching():
            try:
                result = call()
            except KeyboardInterrupt:
                raise
            except BaseException:
                if self._stopped is None:
                    raise
        # Whatever the function made of it.
        if self._stopped is not None:
            raise self._stopped
        return result

    def led_to(self, codes: Collection[types.CodeType]) -> None:
        """Refuses code that has run, if it is none of the code that was looked at for what it depends on."""
        for code in self._offsets.keys() - {part for known in codes for part in nested(known)}:
            raise Refusal(_unled(code), remedy=_BY_NAME)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        tracing, profiling, collecting = sys.gettrace(), sys.getprofile(), gc.isenabled()
        # What is collected meanwhile may run code that has nothing to do with the call.
        gc.disable()
        sys.setprofile(self._profiled)
        sys.settrace(self._entered)
        try:
            yield
        finally:
            sys.settrace(tracing)
            sys.setprofile(profiling)
            if collecting:
                gc.enable()

    def _stop(self, error: Unseen | Refusal, frame: types.FrameType | None) -> NoReturn:
        """Ends the call, in a frame of the user's."""
        self._stopped, caller = self._stopped or error, frame
        # What would have run next may stand in the way as well, and is to be told of.
        while frame is not None and frame.f_code in self._offsets:
            following = (i.offset for i in instructions(frame.f_code) if i.offset >= frame.f_lasti)
            self._offsets[frame.f_code].update(following)
            frame = frame.f_back
        sys.setprofile(self._still_profiled)
        self._trace_still(caller)
        raise _Stopped

    # Python takes away a function that raises. Handlers of the user's, and what follows "finally", are to be
    # stopped as well: the tracing function sets the profiling one before it raises, and the other way round.

    def _trace_still(self, frame: types.FrameType | None) -> None:
        while frame is not None:
            if frame.f_code in self._offsets:
                frame.f_trace = self._still_traced
            frame = frame.f_back
        sys.settrace(self._still_traced)

    def _stop_again(self) -> None:
        self._stops += 1
        if self._stops < _MOST_STOPS:
            raise _Stopped

    def _still_traced(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        caller = frame.f_back if event == "call" else frame
        if caller is not None and caller.f_code in self._codes:
            sys.setprofile(self._still_profiled)
            if event == "call":
                # At other instructions an exception would leave handled ones in place.
                self._stop_again()
        return self._still_traced

    def _still_profiled(self, frame: types.FrameType, event: str, argument: Any) -> None:
        caller = frame if event == "c_call" else frame.f_back
        if event in ("call", "c_call") and caller is not None and caller.f_code in self._codes:
            self._trace_still(caller)
            self._stop_again()

    def _entered(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        """A frame begins."""
        code, module = frame.f_code, home_of(frame)
        if code in self._codes:
            if code not in self._offsets:
                self._offsets[code] = set()
                self._forbidden[code] = _loads(code, self._unwatchable)
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return self._executes
        # What trusted code calls is its own affair: there are many such calls.
        sys.setprofile(None)
        if not (self._beneath or _as_it_is(module) or _makes_tuple(frame)):
            caller = frame.f_back
            users = caller is None or caller.f_code in self._codes
            if own(module) and not users:
                return None
            if users and module.startswith(_IMPORTS):
                self._stop(Refusal("it imports a module when called", remedy=_IMPORTED), caller)
            if users or _package(module) not in sys.stdlib_module_names:
                self._stop(self._obstacle(module, code), caller)
            # What trusted code does with the standard library is its own affair.
            self._beneath += 1
            return self._left
        return None

    def _obstacle(self, module: str, code: types.CodeType) -> Unseen | Refusal:
        """Why code that has not been looked at is not let run."""
        if own(module):
            remedy = "compute it before the solve, or outside of func"
            return Refusal("it calls a solver within func", remedy=remedy)
        if module not in self._modules:
            return Unseen(module)
        return Refusal(_unled(code), remedy=_BY_NAME)

    def _executes(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            sys.setprofile(self._profiled)
            code, offset = frame.f_code, frame.f_lasti
            self._offsets[code].add(offset)
            if offset in self._forbidden[code]:
                what = f"it reads {self._forbidden[code][offset]}, which cannot be watched"
                self._stop(Refusal(what, remedy=PLAIN), frame)
        return self._executes

    def _left(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if event == "return":
            self._beneath -= 1
        return self._left

    def _profiled(self, frame: types.FrameType, event: str, function: Any) -> None:
        """A function written in C is about to be called."""
        if event != "c_call" or frame.f_code not in self._codes or _harmless(function):
            return
        name = getattr(function, "__qualname__", "") or getattr(function, "__name__", repr(function))
        reason = Reason(f"it calls {name}(), whose effects cannot be undone", PLAIN)
        self._stop(Refusal(reason), frame)


def _unled(code: types.CodeType) -> str:
    return f"it runs {code.co_qualname}, to which nothing leads that func names"


def _loads(code: types.CodeType, names: Set[str]) -> dict[int, str]:
    """Where code loads things of some names."""
    return {
        begin: instruction.argval
        for begin, instruction in decoded(code)
        if instruction.opname.startswith("LOAD_")
        and not is_constant(instruction)
        and instruction.argval in names
    }


def _as_it_is(module: str) -> bool:
    """Whether code of a module is let run without looking at it."""
    return trusted_package(module) or module.startswith(_RECORDS)


def _makes_tuple(frame: types.FrameType) -> bool:
    """Whether a frame is of what `collections.namedtuple` generates."""
    generated = str(frame.f_globals.get("__name__")).startswith("namedtuple_")
    return generated and frame.f_code.co_filename.startswith("<")


def _package(module: str) -> str:
    return module.partition(".")[0]


def _harmless(function: Any) -> bool:
    """Whether what a function written in C does can be undone, or is nothing."""
    if forbidden(function):
        return False
    owner = getattr(function, "__self__", None)
    if isinstance(owner, types.ModuleType):
        # Parts of a module that are written in C are in one of its own, such as _operator.
        return opaque(function) or trusted_name(owner.__name__.lstrip("_"))
    if owner is None or isinstance(owner, type):
        return opaque(function)
    if type(owner).__name__.startswith(_BINDING):
        return trusted_name(function.__module__)
    return isinstance(owner, _METHODS_OF)
