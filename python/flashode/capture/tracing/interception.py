"""What user code does to a tensor that the dispatcher does not see, or not for what it is."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function

from flashode.capture.guards.trust import trusted_function, trusted_name
from flashode.capture.refusal import described
from flashode.capture.tracing.assuming import outcome_without_raising
from flashode.capture.tracing.filling import Filling
from flashode.capture.tracing.picking import at_index, is_number, select
from flashode.capture.tracing.recorder import Recorder
from flashode.capture.tracing.remedies import AT_INDEX, FORMAT, HISTORY
from flashode.capture.tracing.schemas import differentiable
from flashode.capture.tracing.traced import leaves

READS = frozenset(
    {
        *("numpy", "tolist", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__"),
        *("__deepcopy__", "__reduce_ex__", "share_memory_", "is_set_to"),
        *("const_data_ptr", "mutable_data_ptr"),
    }
)
_PRINTS = frozenset({"__repr__", "__str__", "__format__"})
_ARRANGEMENT = frozenset({"storage_offset", "_is_view", "is_shared"})
# Those of a tensor that the function owns are the same in each solve.
_LAYOUT = frozenset({"stride", "is_contiguous", "dim_order"})
# What they are given runs in a backward pass, which is not recorded.
_HOOKS = frozenset({"register_hook", "register_post_accumulate_grad_hook"})
# They read the tensors among the numbers that they are given unseen.
_FROM_NUMBERS = frozenset({"tensor", "as_tensor", "asarray", "new_tensor", "new", "tensor_split"})
_INDEXES = frozenset({"__getitem__", "__setitem__"})
# Functions that cut a tensor off from its gradient in a way that is not recorded.
_CUTS = frozenset({"detach_", "detach_copy", "detach.default", "new_tensor", "tensor", "asarray"})
_TENSOR: Any = Tensor
_PARAMETER: Any = nn.Parameter
_DATA = _TENSOR.data
_TRACKED = _TENSOR.requires_grad
# What tells about a tensor's past, or what was done to it between solves.
_HISTORY = frozenset({"_version", "grad", "_base", "_cdata"})
# What torch may ask for, but no function that does something else for the answer.
_TRACKING = frozenset(
    {
        *("grad_fn", "is_leaf", "output_nr", "retains_grad", "grad_dtype"),
        *("_backward_hooks", "_post_accumulate_grad_hooks"),
    }
)
_TRACKING_METHODS = frozenset({"is_inference", "retain_grad", "backward"})


class Interception(TorchFunctionMode):
    """Refuses reads of memory and most ways to cut off a gradient; tells the recorder about ``detach``.

    Autograd performs ``aten::detach`` for itself as well, so that the operation says nothing; the function
    that was called does.

    Attributes:
        raised: the last exception that a function of torch raised, in a line; with the tensors of a solve it
            might not.
        filling: makes tensors of numbers and tensors.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self.raised = ""
        self.filling = Filling(recorder, lambda x: detached(recorder, Tensor.detach, (x,), {}))

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        attribute = getattr(func, "__self__", None)
        if attribute is _TRACKED and name == "__get__" and not _asked_by_torch(2):
            return self._recorder.tracked(args[0])
        if name == "__bool__" and self._recorder.depends(args[0]):
            outcome = outcome_without_raising(sys._getframe(1))
            if outcome is not None and args[0].dtype is torch.bool and args[0].numel() == 1:
                return self._recorder.assumed(args[0], outcome)
        made = self.filling.made(name, args, kwargs)
        if made is not None:
            return made
        self._refuse_unseen(name, attribute, args, kwargs)
        inner = inspect.unwrap(func)
        if isinstance(inner, types.FunctionType) and not trusted_function(inner):
            what = f"it calls {name} by __torch_function__, where tracing does not see what it does"
            self._recorder.refuse(what, "call it directly")
        reads_data = attribute is _DATA
        if name in _CUTS or reads_data:
            # What new_tensor belongs to lends it no more than a dtype.
            arguments = args[1:] if name == "new_tensor" else args
            if any(map(differentiable, (*arguments, *kwargs.values()))):
                what = f"it cuts a gradient off (.{'data' if reads_data else name})"
                self._recorder.refuse(what, "use detach(), which is recorded")
        if name == "requires_grad_" or (name == "__set__" and attribute is _TRACKED):
            wanted = args[1] if len(args) > 1 else kwargs.get("requires_grad", True)
            if wanted == args[0].requires_grad:
                # Asked of torch, it could raise, because the state of a trace is no leaf.
                return args[0]
            if self._recorder.owns(args[0]):
                what = "it changes requires_grad of a tensor that it owns"
                self._recorder.refuse(what, "change it before the solve")
        self._recorder.calls += 1
        try:
            if name == "detach" and differentiable(args[0]):
                return detached(self._recorder, func, args, kwargs)
            picked = self._picked(name, args, kwargs)
            return func(*args, **kwargs) if picked is None else picked
        except Exception as error:
            if not _asked_by_torch(2):
                self.raised = described(error)
            raise
        finally:
            self._recorder.calls -= 1

    def _picked(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What a function gives that would read an index as a number; None for any other."""
        if name == "__getitem__" and isinstance(args[0], Tensor):
            return at_index(self._recorder, args[0], args[1])
        if name == "select" and isinstance(args[0], Tensor):
            given = dict(zip(("dim", "index"), args[1:], strict=False)) | kwargs
            dim, index = given.get("dim"), given.get("index")
            if isinstance(dim, int) and isinstance(index, Tensor) and is_number(index, self._recorder):
                return select(self._recorder, args[0], dim, index)
        return None

    def _refuse_unseen(self, name: str, attribute: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Refuses what reads or changes more than the dispatcher tells."""
        refuse = self._recorder.refuse
        asks = f"it asks for {name} of a tensor, which differs from solve to solve"
        if name in READS:
            what = f"it reads a tensor's memory from Python (.{name})"
            refuse(what, "compute with torch's functions, on the tensor itself")
        if name in _PRINTS:
            refuse("it prints or formats a tensor", FORMAT)
        if name in _ARRANGEMENT and (self._recorder.owns(args[0]) or not _asked_by_torch()):
            refuse(asks, HISTORY)
        if name in _LAYOUT and self._recorder.depends(args[0]) and not _asked_by_torch():
            refuse(asks, "call contiguous(), whatever the tensor is")
        if name in _HOOKS:
            refuse(f"it calls {name} of a tensor", "scale gradients after backward()")
        if attribute is _DATA and name == "__set__":
            # Two tensors come to share their memory.
            refuse("it assigns to a tensor's .data", "compute a new tensor")
        read = attribute.__name__ if name in ("__get__", "__set__") else ""
        tracking = name in _TRACKING_METHODS or (read in _TRACKING and name == "__get__")
        if read in _HISTORY or (tracking and not _asked_by_torch()):
            refuse(f"it uses .{read or name} of a tensor, which differs from solve to solve", HISTORY)
        if name in _FROM_NUMBERS:
            arguments = (*args, *kwargs.values())
            split = name == "tensor_split" and any(isinstance(item, Tensor) for item in arguments[1:])
            if split or any(isinstance(item, Tensor) for item in _among_numbers(arguments)):
                what = f"it reads the values of a tensor among the arguments of {name}"
                refuse(what, "join tensors with torch.stack or torch.cat")
        if name in _INDEXES:
            # Of a tuple, each is an index of its own.
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(item, Tensor) for item in _among_numbers(index)):
                remedy = "index with one tensor (torch.stack makes it), or with numbers alone"
                refuse("it indexes with a list that holds a tensor", remedy)
            if name == "__setitem__" and any(is_number(item, self._recorder) for item in index):
                refuse("it writes at an index that is a tensor", AT_INDEX)


def detached(recorder: Recorder, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a function gives that cuts a gradient off on purpose."""
    recorder.detaching = True
    try:
        return func(*args, **kwargs)
    finally:
        recorder.detaching = False


def _among_numbers(arguments: Iterable[Any]) -> Iterator[Any]:
    """What lists and tuples among arguments hold, however deep."""
    return leaves([item for item in arguments if isinstance(item, (list, tuple))])


def _asked_by_torch(depth: int = 3) -> bool:
    """Whether trusted code asked for what is being intercepted, so many calls further out."""
    frame: types.FrameType | None = sys._getframe(depth)
    if frame is not None and frame.f_code is handle_torch_function.__code__ and frame.f_back is not None:
        # Called by what was asked, which is written in Python.
        frame = frame.f_back.f_back
    return frame is not None and trusted_name(frame.f_globals.get("__name__"))


@contextmanager
def parameters_of(recorder: Recorder) -> Iterator[None]:
    """Makes parameters of stand-ins as torch makes them of tensors, which no mode sees.

    Other threads make theirs as ever meanwhile: no stand-in is among them.
    """
    original = nn.Parameter.__dict__["__new__"]

    def make(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
        if not recorder.depends(data):
            return original(cls, data, requires_grad)
        parameter = detached(recorder, Tensor.detach, (data,), {})
        parameter.__class__ = cls
        return parameter.requires_grad_(requires_grad)

    _PARAMETER.__new__ = staticmethod(make)
    try:
        yield
    finally:
        _PARAMETER.__new__ = original
