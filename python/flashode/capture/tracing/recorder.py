"""Recording the operations of one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from flashode.capture.guards.trust import trusted_class
from flashode.capture.guards.watched import Watched
from flashode.capture.places import Site, running
from flashode.capture.refusal import EVALUATION, Computed, Failed, Refusal
from flashode.capture.tracing.remedies import (
    LOST,
    NUMBER,
    OF_NUMBERS,
    REVIVE,
    WRITING,
    of_drawing,
    of_training,
)
from flashode.capture.tracing.schemas import (
    custom_backwards,
    differentiable,
    draws,
    name_of,
    shared_argument,
    undrawn,
    updates_running_statistics,
    without_statistics,
)
from flashode.capture.tracing.stand_in import expire, stand_in
from flashode.capture.tracing.traced import Operation, Ref, Trace, TracedValue, leaves, mapped, refs_in
from flashode.declined import Place, Reason
from flashode.memory import has_memory
from flashode.state import Structure

_METADATA_QUERIES = frozenset({"aten::is_same_size", "aten::_has_same_storage_numel"})
# Operations that raise if they find a matrix singular, and do nothing else.
_CHECKS = frozenset({"aten::_linalg_check_errors"})


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations; notes those that a Program cannot repeat, and whether one ended the trace."""

    def __init__(self, watched: Watched, slots: Mapping[int, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._asked = False
        self._steps: dict[int, float] = {}
        self._assumptions: list[tuple[int, bool]] = []
        self.reasons: list[Reason] = []
        self.ended = False
        self.detaching = False
        # How many calls of torch's functions are under way.
        self.calls = 0
        self._watched = watched
        self._slots = slots
        self._names: dict[int, str] = {}
        self._values: list[TracedValue] = []
        self._operations: list[Operation] = []
        # Of each tensor met, by its id: its place among the values; of a stand-in, what it stands for. Held
        # until the trace ends, so that no id is used twice.
        self._places: dict[int, int] = {}
        self._inside: dict[int, Tensor] = {}
        self._alive: list[Tensor] = []
        # The value whose memory each value shares, and which of those roots hold nothing but literals.
        self._root: list[int] = []
        self._literal_roots: set[int] = set()
        self._dependent_roots: set[int] = set()
        self._detached_roots: set[int] = set()
        # What stands for memory of another, and the other.
        self._copied_roots: set[int] = set()
        # Tensors that the function would have written into, and their versions.
        self._spared: list[tuple[Tensor, int]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its whole compiler, seconds of work, to keep it from compiling this mode.
        return False

    def note(self, what: str, remedy: str, site: Site | None = None) -> None:
        """Remembers what a Program cannot repeat, and what to write instead; the trace goes on."""
        site = running() if site is None else site
        reason = Reason(what, remedy, site.line, self._name(site.module))
        # Of a module of torch's own one reason says it all.
        known = site.module is not None and trusted_class(type(site.module)) and reason.module
        if not (known and any(each.module == known for each in self.reasons)):
            self.reasons.append(reason)

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Ends the trace; remembered in case the function swallows the exception."""
        if not self.ended:
            self.note(what, remedy)
        self.ended = True
        raise Refusal(*self.reasons)

    def _name(self, module: nn.Module | None) -> str:
        if module is None:
            return ""
        if id(module) not in self._names:
            self._names[id(module)] = self._watched.module(module)
        return self._names[id(module)]

    def owns(self, tensor: Tensor) -> bool:
        """Whether it is one of the tensors that the function is known to own."""
        return id(tensor) in self._slots

    def depends(self, tensor: Tensor) -> bool:
        """Whether it stands for a value that depends on t or y."""
        return id(tensor) in self._inside

    def tracked(self, tensor: Tensor) -> bool:
        """The requires_grad of a tensor: but for those that it owns it is not the same in every solve."""
        self._asked |= not self.owns(tensor)
        return tensor.requires_grad

    def assumed(self, condition: Tensor, outcome: bool) -> bool:
        """What a condition is; takes note if it is what it has to be."""
        with no_dispatch():
            holds = bool(self._inside[id(condition)])
        if holds is outcome:
            self._assumptions.append((self._find(condition), outcome))
        return holds

    def copied(self, x: Tensor, part: Tensor) -> None:
        """Takes note of a copy in the place of a view: what is written into either is not seen in both."""
        self._copied_roots.update(self._root[self._find(tensor)] for tensor in (x, part) if self._met(tensor))

    def _met(self, tensor: Tensor) -> bool:
        return id(tensor) in self._places

    def input(
        self, origin: str, value: Tensor, slot: int | None = None, requires_grad: bool = True
    ) -> Tensor:
        """A stand-in for an argument of the function, or for a tensor that it owns."""
        index = self._add(TracedValue(tuple(value.shape), value.dtype, origin, slot))
        self._dependent_roots.add(index)
        tensor = self._stand_in(value, index)
        # As in a comparison, and because torch.autograd.functional detaches what requires none.
        tensor.requires_grad_(requires_grad)
        return tensor

    def computed(self, leaf: Tensor) -> Tensor:
        """An input that is no leaf of autograd's, which would raise where writing into it is refused here."""
        tensor = leaf.clone()
        self._places[id(tensor)] = self._places[id(leaf)]
        return tensor

    def finish(self, result: Any, structure: Structure, dtype: torch.dtype) -> Trace:
        """The trace of a call that returned ``result``."""
        try:
            with torch.enable_grad(), self:
                fitted = structure.fit(result, dtype)
        except (TypeError, ValueError) as error:
            raise Failed(*self.reasons, str(error)) from error
        for name in custom_backwards(fitted):
            what = f"it uses a custom autograd.Function ({name})"
            remedy = "write it with torch's own operations, and detach() where no gradient is to flow"
            self.reasons.append(Reason(what, remedy, self._watched.line(name.removesuffix("Backward"))))
        return self.trace(tuple(map(self._find, fitted)))

    def restore(self) -> None:
        """Leaves nothing of the trace: neither stand-ins of use nor writes that were none, but counted."""
        for tensor in self._alive:
            if id(tensor) in self._inside:
                expire(tensor)
        for tensor, version in reversed(self._spared):
            torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))

    def trace(self, outputs: tuple[int, ...] = ()) -> Trace:
        """What was recorded so far."""
        if self._steps and self._reads_counters(outputs):
            what = "it reads a tensor that it counts in"
            self.reasons.append(Reason(what, "read the count outside of func alone"))
        return Trace(
            tuple(self._values),
            tuple(self._operations),
            outputs,
            tuple(self.reasons),
            self._asked,
            tuple(sorted(self._steps.items())),
            tuple(self._assumptions),
        )

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name in ("aten::lift_fresh", "aten::lift_fresh_copy"):
            self._lift(args[0])
        cuts = not torch.is_grad_enabled() and any(map(differentiable, leaves((args, kwargs))))
        refs, ref_kwargs = mapped(self._ref, args), mapped(self._ref, kwargs)
        inputs = [ref.index for ref in refs_in((refs, ref_kwargs))]
        roots = {self._root[index] for index in inputs}
        site = running()
        self._check_tags(func, refs, roots)
        written = self._written(func, args)
        if cuts and (written is not None or torch.is_inference_mode_enabled()):
            remedy = "use detach() in place of torch.no_grad(), and no inference mode"
            self.refuse(f"it writes or infers with gradients off ({name_of(func)})", remedy)
        values = mapped(self._inner, args), mapped(self._inner, kwargs)
        if written is not None and self._values[self._root[self._find(written)]].origin == "slot":
            if self._counts(func, args, kwargs):
                return written
            connected = any(map(differentiable, leaves((args, kwargs))))
            return self._unwritten(func, written, site, connected)
        result, refused = self._performed(func, refs, values, site)
        where, module = site.line, self._name(site.module)
        if written is not None:
            return self._rewrite(func, written, roots, (refs, ref_kwargs), (where, module, refused))
        dependent = not roots.isdisjoint(self._dependent_roots)
        if not _holds_tensors(result):
            if func._schema.name in _CHECKS:
                self._operations.append(Operation(func, refs, ref_kwargs, (), where, module))
            elif func._schema.name not in _METADATA_QUERIES and not roots <= self._literal_roots:
                self.refuse(NUMBER, OF_NUMBERS)
            return result
        shares = shared_argument(func, args)
        root = None if shares is None else self._root[self._find(shares)]
        if self.detaching and func is torch.ops.aten.detach.default and root is not None:
            # A name of its own, for the one that the user meant.
            func = torch.ops.aten.detach_copy.default
            self._detached_roots.add(root)
        outputs: list[int] = []

        def register(tensor: Tensor) -> Tensor:
            index = self._add(TracedValue(tuple(tensor.shape), tensor.dtype, "result"), root)
            outputs.append(index)
            if root is None and roots <= self._literal_roots:
                self._literal_roots.add(index)
            if not dependent:
                return self._remember(tensor, index)
            self._dependent_roots.add(self._root[index])
            return self._stand_in(tensor, index)

        wrapped = mapped(lambda item: register(item) if isinstance(item, Tensor) else item, result)
        self._operations.append(Operation(func, refs, ref_kwargs, tuple(outputs), where, module, refused))
        if cuts:
            self._cut(filter(_has_derivatives, leaves(wrapped)), root, (where, module))
        return wrapped

    def _performed(self, func: Any, refs: tuple[Any, ...], values: Any, site: Site) -> tuple[Any, bool]:
        """What an operation gives, and whether a Program cannot repeat it; nothing of the user's changes."""
        args, kwargs = values
        if draws(func, refs):
            self.note(f"it draws random numbers ({name_of(func)})", of_drawing(func, site.module), site)
            return undrawn(func, args, kwargs), True
        if updates_running_statistics(func, refs):
            remedy = of_training(site.module) or EVALUATION
            self.note(f"it updates running statistics ({name_of(func)})", remedy, site)
            return func(*without_statistics(args), **kwargs), True
        return _performed(func, args, kwargs), False

    def _unwritten(self, func: Any, target: Tensor, site: Site, connected: bool) -> Tensor:
        """Leaves a tensor that the function owns as it is, where the function would write into it."""
        what = f"it changes a tensor that it owns in place ({name_of(func)})"
        remedy = of_training(site.module) or "compute a new tensor, and leave the old one as it is"
        if connected:
            # Autograd would make it part of its graph.
            self.refuse(what, remedy)
        self.note(what, remedy, site)
        self._spared.append((target, target._version))
        return target

    def _counts(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether an operation counts in a tensor that the function owns; nothing is written to it then."""
        target, slot = args[0], self._values[self._find(args[0])].slot
        number = func is torch.ops.aten.add_.Tensor and not kwargs and type(args[1]) in (int, float)
        if slot is None or not number or target.numel() != 1 or target.requires_grad:
            return False
        self._steps[slot] = self._steps.get(slot, 0) + args[1]
        self._spared.append((target, target._version))
        return True

    def _reads_counters(self, outputs: tuple[int, ...]) -> bool:
        """Whether the function reads a tensor that it counts in, or what shares its memory."""
        read = {ref.index for operation in self._operations for ref in refs_in(operation.args)}
        read.update(ref.index for operation in self._operations for ref in refs_in(operation.kwargs))
        slots = {self._values[index].slot for index in (*read, *outputs)} - {None}
        memory = {self._watched.tensors[slot].untyped_storage()._cdata for slot in slots if slot is not None}
        return any(self._watched.tensors[slot].untyped_storage()._cdata in memory for slot in self._steps)

    def _cut(self, tensors: Iterable[Tensor], shared: int | None, site: tuple[Place | None, str]) -> None:
        """Takes the gradient from results that were computed with gradients off."""
        for tensor in tensors:
            before = self._find(tensor)
            value = self._values[before]
            after = self._add(TracedValue(value.shape, value.dtype, "result"), shared)
            if shared is not None:
                self._detached_roots.add(shared)
            elif self.depends(tensor):
                self._dependent_roots.add(after)
            self._operations.append(
                Operation(torch.ops.aten.detach_copy.default, (Ref(before),), {}, (after,), *site)
            )
            self._places[id(tensor)] = after

    def _check_tags(self, func: Any, refs: tuple[Any, ...], roots: set[int]) -> None:
        if torch.Tag.data_dependent_output in func.tags and not roots <= self._literal_roots:
            self.refuse(NUMBER, OF_NUMBERS)
        if func._schema.name in ("aten::index", "aten::index_put_", "aten::index_put"):
            # The shape depends on masks alone; those that the function owns are held to their content.
            masks = [ref.index for ref in refs_in(refs[1]) if self._values[ref.index].dtype is torch.bool]
            roots = {self._root[index] for index in masks} & (self._dependent_roots | self._literal_roots)
        if torch.Tag.dynamic_output_shape in func.tags and not roots <= self._literal_roots:
            self.refuse(f"the shape that {name_of(func)} makes depends on a tensor's values", Computed.remedy)

    def _written(self, func: Any, args: Sequence[Any]) -> Tensor | None:
        """The tensor that an in-place operation writes, checked to be the function's own temporary."""
        if not func._schema.is_mutable or func._schema.name == "aten::rrelu_with_noise":
            # The latter writes what it draws, and it draws nothing here.
            return None
        if not func._schema.name.endswith("_") or func._schema.name.startswith("aten::_foreach"):
            self.refuse(
                f"{name_of(func)} writes into its arguments", of_training(running().module) or WRITING
            )
        target: Tensor = args[0]
        root = self._root[self._find(target)]
        origin = self._values[root].origin
        if root in self._detached_roots:
            self.refuse(f"it changes memory that it shares with a detached tensor ({name_of(func)})", WRITING)
        if torch.Tag.inplace_view in func.tags and origin == "result":
            return target
        if root in self._copied_roots:
            what = f"it writes into a row that it picked, or into what it picked it from ({name_of(func)})"
            self.refuse(what, WRITING)
        if origin in ("t", "y"):
            self.note(f"it changes {origin} in place ({name_of(func)})", WRITING)
        return target

    def _rewrite(
        self, func: Any, target: Tensor, roots: set[int], call: Any, site: tuple[Place | None, str, bool]
    ) -> Tensor:
        refs, ref_kwargs = call
        root = self._root[self._find(target)]
        if not roots <= self._literal_roots:
            self._literal_roots.discard(root)
        if not roots.isdisjoint(self._dependent_roots):
            self._dependent_roots.add(root)
        if torch.Tag.inplace_view in func.tags and self.depends(target):
            with no_dispatch():
                func(target, *mapped(self._inner, refs[1:]), **ref_kwargs)
        index = self._add(TracedValue(tuple(target.shape), target.dtype, "result"), root)
        self._places[id(target)] = index
        self._operations.append(Operation(func, refs, ref_kwargs, (index,), *site))
        return target

    def _lift(self, tensor: Tensor) -> None:
        if id(tensor) in self._places or id(tensor) in self._slots:
            return
        with torch._C.DisableTorchFunction():
            ours = tensor.untyped_storage().resizable()
        if ours and not self.calls:
            # Not the memory of an array, which would have been watched. Of what was read nothing is known:
            # there may be tensors among the numbers.
            self.refuse("it makes a tensor by an old constructor", "call torch.tensor, which makes the same")
        literal = TracedValue(tuple(tensor.shape), tensor.dtype, "literal", literal=tensor.detach().clone())
        index = self._add(literal)
        self._literal_roots.add(index)
        self._remember(tensor, index)

    def _ref(self, item: Any) -> Any:
        return Ref(self._find(item)) if isinstance(item, Tensor) else item

    def _find(self, tensor: Tensor) -> int:
        known = self._places.get(id(tensor))
        if known is not None:
            return known
        slot = self._slots.get(id(tensor))
        content = None
        if not has_memory(tensor):
            self.refuse(LOST, REVIVE)
        if slot is None and id(tensor) not in self._watched.constants:
            self.note(
                f"a {tuple(tensor.shape)} tensor comes from a place that cannot be watched",
                "keep it in an attribute, a buffer or a variable of func's",
            )
        if slot is None:
            content = tensor.detach().clone()
        index = self._add(TracedValue(tuple(tensor.shape), tensor.dtype, "slot", slot, content))
        self._remember(tensor, index)
        return index

    def _add(self, value: TracedValue, root: int | None = None) -> int:
        index = len(self._values)
        self._values.append(value)
        self._root.append(index if root is None else root)
        return index

    def _remember(self, tensor: Tensor, index: int) -> Tensor:
        self._alive.append(tensor)
        self._places[id(tensor)] = index
        return tensor

    def _stand_in(self, value: Tensor, index: int) -> Tensor:
        tensor = self._remember(stand_in(value), index)
        self._inside[id(tensor)] = value
        return tensor

    def _inner(self, item: Any) -> Any:
        return self._inside.get(id(item), item)


def _performed(func: Any, args: Any, kwargs: Any) -> Any:
    if func is torch.ops.aten.mul.Scalar and args[0]._is_zerotensor():
        # Zeros without memory stand for missing forward derivatives; scaling them in a mode crashes torch.
        zeros: Tensor = args[0]
        return torch._efficientzerotensor(zeros.shape, dtype=zeros.dtype, device=zeros.device)
    return func(*args, **kwargs)


def _has_derivatives(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype.is_floating_point


def _holds_tensors(item: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in leaves(item))
