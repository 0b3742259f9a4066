"""From a function to the ATen operations that it performs.

The function is called once on stand-ins for ``t`` and ``y``. Every operation below autograd is recorded, on
the stand-ins and on the tensors that the function owns alike. A stand-in has no memory that Python could
read: a branch on its value, ``.item()``, ``.numpy()`` and the like are seen and refused, where tracing with
ordinary tensors would bake the number in. ``make_fx`` records the same operations, but costs 0.8 s on its
first use in a process, several times as much on each later one, and lets some of those reads pass.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from flashode.capture.refusal import Refusal, described

_OWN_FOLDERS = (os.path.dirname(torch.__file__) + os.sep, os.path.dirname(__file__) + os.sep)
_METADATA_QUERIES = frozenset({"aten::is_same_size", "aten::_has_same_storage_numel"})
_READS = frozenset({"numpy", "tolist", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__"})
# Functions that cut a tensor off from its gradient. Autograd performs aten::detach for itself as well, so
# that the operation says nothing; the function that was called does.
_CUTS = frozenset({"detach", "detach_", "detach_copy", "detach.default", "new_tensor", "tensor", "asarray"})
_DATA: Any = Tensor.data


@dataclass(frozen=True)
class Ref:
    """The place of a traced tensor in an operation's arguments."""

    index: int


@dataclass(frozen=True)
class TracedValue:
    """A tensor that tracing met.

    Attributes:
        origin: ``"t"``, ``"y"``, ``"slot"`` (a tensor the function owns), ``"literal"`` (made from Python
            numbers) or ``"result"`` (of an operation).
        slot: which watched tensor, for a slot.
        literal: a copy of its content, for a literal.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    origin: str
    slot: int | None = None
    literal: Tensor | None = None


@dataclass(frozen=True)
class Operation:
    """One recorded call: ``args`` and ``kwargs`` hold a ``Ref`` where a tensor stood."""

    op: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    where: tuple[str, int] | None


@dataclass(frozen=True)
class Trace:
    """What one call of the function did; ``output`` is the index of the value that it returned."""

    values: tuple[TracedValue, ...]
    operations: tuple[Operation, ...]
    output: int


def trace(func: Callable[[Any, Any], Any], t: Tensor, y: Tensor, slots: Mapping[int, int]) -> Trace:
    """Calls ``func(t, y)`` once and records what it does.

    Args:
        func: the user's function.
        t: time, 0-d.
        y: the state.
        slots: the tensors that the function is known to own, ``id(tensor) -> slot``.

    Raises:
        Refusal: the function does something that a Program cannot repeat.
    """
    recorder = _Recorder(slots)
    stand_ins = recorder.input("t", t.detach().clone()), recorder.input("y", y.detach().clone())
    try:
        with torch.enable_grad(), recorder, _ReadsRefused(recorder):
            result = func(*stand_ins)
    except Exception as error:
        if recorder.refusal is None:
            raise Refusal(f"tracing it raised {described(error)}") from error
    if recorder.refusal is not None:
        # Raised here as well, because the function may have swallowed it.
        raise Refusal(recorder.refusal)
    return recorder.finish(result, y)


class _StandIn(Tensor):
    """A tensor without storage that stands for a value depending on ``t`` or ``y``."""

    value: Tensor
    place: int
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, value: Tensor, place: int) -> _StandIn:
        made: _StandIn = Tensor._make_wrapper_subclass(
            cls,
            value.size(),
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            layout=value.layout,
            device=value.device,
            requires_grad=False,
        )
        made.value = value
        made.place = place
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        raise Refusal("it prints or formats a tensor that depends on t or y")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, kinds: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise Refusal("it keeps a tensor that depends on t or y beyond the call")


class _ReadsRefused(TorchFunctionMode):
    """Refuses what the dispatcher does not see, or not for what it is: reads of memory, and ``detach``."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS:
            self._recorder.refuse(f"it reads a tensor's memory from Python (.{name})")
        if name in _CUTS or getattr(func, "__self__", None) is _DATA:
            # What new_tensor belongs to lends it no more than a dtype.
            given = args[1:] if name == "new_tensor" else args
            self._recorder.check_cut(name, (*given, *(kwargs or {}).values()))
        return func(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, slots: Mapping[int, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refusal: str | None = None
        self._slots = slots
        self._values: list[TracedValue] = []
        self._operations: list[Operation] = []
        self._plain: dict[int, int] = {}
        self._alive: list[Tensor] = []
        # The value whose memory each value shares, and which of those roots hold nothing but literals.
        self._root: list[int] = []
        self._literal_roots: set[int] = set()
        self._dependent_roots: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its whole compiler, seconds of work, to keep it from compiling this mode.
        return False

    def refuse(self, what: str) -> None:
        """Ends the trace; remembered in case the function swallows the exception."""
        if self.refusal is None:
            self.refusal = what + describe(_user_line())
        raise Refusal(self.refusal)

    def input(self, origin: str, value: Tensor) -> _StandIn:
        index = self._add(TracedValue(tuple(value.shape), value.dtype, origin))
        self._dependent_roots.add(index)
        return _StandIn(value, index)

    def check_cut(self, how: str, given: Sequence[Any]) -> None:
        """Refuses to cut a gradient that there is: a capture would let it through."""
        if any(map(self._differentiable, given)):
            self.refuse(f"it cuts a gradient off (.{'data' if how in ('__get__', '__set__') else how})")

    def _differentiable(self, item: Any) -> bool:
        return isinstance(item, Tensor) and (isinstance(item, _StandIn) or item.requires_grad)

    def finish(self, result: Any, y: Tensor) -> Trace:
        if not isinstance(result, Tensor):
            raise Refusal(f"it returns a {type(result).__name__}, not a tensor")
        if result.shape != y.shape or result.dtype != y.dtype:
            raise Refusal(
                f"it returns {tuple(result.shape)} {result.dtype} for a state {tuple(y.shape)} {y.dtype}"
            )
        return Trace(tuple(self._values), tuple(self._operations), self._find(result))

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name in ("aten::lift_fresh", "aten::lift_fresh_copy"):
            self._lift(args[0])
        if not torch.is_grad_enabled() and any(map(self._differentiable, _leaves((args, kwargs)))):
            how = "as under no_grad or in a custom autograd.Function"
            self.refuse(f"it computes with gradients off, {how} ({_name(func)})")
        refs, ref_kwargs = _map(self._ref, args), _map(self._ref, kwargs)
        inputs = [ref.index for ref in refs_in((refs, ref_kwargs))]
        roots = {self._root[index] for index in inputs}
        self._check_tags(func, refs, roots)
        written = self._written(func, args)
        result = func(*_map(_inner, args), **_map(_inner, kwargs))
        where = _user_line()
        if written is not None:
            return self._rewrite(func, written, roots, (refs, ref_kwargs, where))
        if not _holds_tensors(result):
            if func._schema.name not in _METADATA_QUERIES and not roots <= self._literal_roots:
                self.refuse(f"it turns a tensor into a Python number ({_name(func)})")
            return result
        dependent = not roots.isdisjoint(self._dependent_roots)
        shares = _shared_argument(func, args)
        root = None if shares is None else self._root[self._find(shares)]
        outputs: list[int] = []

        def register(tensor: Tensor) -> Tensor:
            index = self._add(TracedValue(tuple(tensor.shape), tensor.dtype, "result"), root)
            outputs.append(index)
            if root is None and roots <= self._literal_roots:
                self._literal_roots.add(index)
            if not dependent:
                return self._remember(tensor, index)
            self._dependent_roots.add(self._root[index])
            return _StandIn(tensor, index)

        wrapped = _map(lambda item: register(item) if isinstance(item, Tensor) else item, result)
        self._operations.append(Operation(func, refs, ref_kwargs, tuple(outputs), where))
        return wrapped

    def _check_tags(self, func: Any, refs: tuple[Any, ...], roots: set[int]) -> None:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.refuse(f"it draws random numbers ({_name(func)})")
        if torch.Tag.data_dependent_output in func.tags and not roots <= self._literal_roots:
            self.refuse(f"it turns a tensor into a Python number ({_name(func)})")
        if func._schema.name in ("aten::index", "aten::index_put_", "aten::index_put"):
            # The shape depends on a mask alone.
            masks = [ref.index for ref in refs_in(refs[1]) if self._values[ref.index].dtype is torch.bool]
            roots = {self._root[index] for index in masks}
        if torch.Tag.dynamic_output_shape in func.tags and not roots <= self._literal_roots:
            self.refuse(f"the shape that {_name(func)} makes depends on a tensor's values")

    def _written(self, func: Any, args: Sequence[Any]) -> Tensor | None:
        """The tensor that an in-place operation writes, checked to be the function's own temporary."""
        if not func._schema.is_mutable:
            return None
        if not func._schema.name.endswith("_") or func._schema.name.startswith("aten::_foreach"):
            self.refuse(f"{_name(func)} writes into its arguments")
        target: Tensor = args[0]
        origin = self._values[self._root[self._find(target)]].origin
        if torch.Tag.inplace_view in func.tags and origin == "result":
            return target
        if origin in ("t", "y"):
            self.refuse(f"it changes {origin} in place ({_name(func)})")
        if origin == "slot":
            self.refuse(f"it changes a tensor that it owns in place ({_name(func)})")
        return target

    def _rewrite(self, func: Any, target: Tensor, roots: set[int], call: Any) -> Tensor:
        refs, ref_kwargs, where = call
        root = self._root[self._find(target)]
        if not roots <= self._literal_roots:
            self._literal_roots.discard(root)
        if not roots.isdisjoint(self._dependent_roots):
            self._dependent_roots.add(root)
        if torch.Tag.inplace_view in func.tags and isinstance(target, _StandIn):
            with no_dispatch():
                func(target, *_map(_inner, refs[1:]), **ref_kwargs)
        index = self._add(TracedValue(tuple(target.shape), target.dtype, "result"), root)
        if isinstance(target, _StandIn):
            target.place = index
        else:
            self._plain[id(target)] = index
        self._operations.append(Operation(func, refs, ref_kwargs, (index,), where))
        return target

    def _lift(self, tensor: Tensor) -> None:
        if isinstance(tensor, _StandIn) or id(tensor) in self._plain or id(tensor) in self._slots:
            return
        literal = TracedValue(tuple(tensor.shape), tensor.dtype, "literal", literal=tensor.detach().clone())
        index = self._add(literal)
        self._literal_roots.add(index)
        self._remember(tensor, index)

    def _ref(self, item: Any) -> Any:
        return Ref(self._find(item)) if isinstance(item, Tensor) else item

    def _find(self, tensor: Tensor) -> int:
        if isinstance(tensor, _StandIn):
            return tensor.place
        known = self._plain.get(id(tensor))
        if known is not None:
            return known
        slot = self._slots.get(id(tensor))
        if slot is None:
            self.refuse(f"a {tuple(tensor.shape)} tensor comes from a place that cannot be watched")
        index = self._add(TracedValue(tuple(tensor.shape), tensor.dtype, "slot", slot=slot))
        self._remember(tensor, index)
        return index

    def _add(self, value: TracedValue, root: int | None = None) -> int:
        index = len(self._values)
        self._values.append(value)
        self._root.append(index if root is None else root)
        return index

    def _remember(self, tensor: Tensor, index: int) -> Tensor:
        # Held until the trace ends, so that no id is used twice.
        self._alive.append(tensor)
        self._plain[id(tensor)] = index
        return tensor


def describe(where: tuple[str, int] | None) -> str:
    """`` (file:line)``, or nothing where the place is unknown."""
    return "" if where is None else f" ({where[0]}:{where[1]})"


def _name(func: Any) -> str:
    return func._schema.name.replace("::", ".").removesuffix("_")  # type: ignore[no-any-return]


def _user_line() -> tuple[str, int] | None:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((*_OWN_FOLDERS, "<frozen")):
            return filename, frame.f_lineno
        frame = frame.f_back
    return None


def _shared_argument(func: Any, args: Sequence[Any]) -> Tensor | None:
    """The argument whose memory the result shares, for a view."""
    returns = func._schema.returns
    if not returns or returns[0].alias_info is None:
        return None
    for argument, given in zip(func._schema.arguments, args, strict=False):
        if argument.alias_info is not None and isinstance(given, Tensor):
            return given
    return None


def _inner(item: Any) -> Any:
    return item.value if isinstance(item, _StandIn) else item


def _map(function: Callable[[Any], Any], item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _map(function, value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)([_map(function, value) for value in item])
    return function(item)


def refs_in(item: Any) -> Iterator[Ref]:
    """Every ``Ref`` in nested arguments."""
    if isinstance(item, Ref):
        yield item
    elif isinstance(item, dict):
        for value in item.values():
            yield from refs_in(value)
    elif isinstance(item, (list, tuple)):
        for value in item:
            yield from refs_in(value)


def _leaves(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        item = tuple(item.values())
    if isinstance(item, (list, tuple)):
        for value in item:
            yield from _leaves(value)
    else:
        yield item


def _holds_tensors(item: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in _leaves(item))
