"""What user code does to a tensor that the dispatcher does not see, or not for what it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor
from torch._C import _functorch
from torch.overrides import TorchFunctionMode

_READS = frozenset({"numpy", "tolist", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__"})
# Functions that cut a tensor off from its gradient in a way that is not recorded.
_CUTS = frozenset({"detach_", "detach_copy", "detach.default", "new_tensor", "tensor", "asarray"})
_DATA: Any = Tensor.data
_TRACKED: Any = Tensor.requires_grad


class Recorder(Protocol):
    """What records the operations below."""

    detaching: bool

    def refuse(self, what: str) -> None:
        """Raises."""

    def owns(self, tensor: Tensor) -> bool:
        """Whether a tensor is there before and after the call."""


class Interception(TorchFunctionMode):
    """Refuses reads of memory and most ways to cut off a gradient; tells the recorder about ``detach``.

    Autograd performs ``aten::detach`` for itself as well, so that the operation says nothing; the function
    that was called does.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _READS:
            self._recorder.refuse(f"it reads a tensor's memory from Python (.{name})")
        reads_data = getattr(func, "__self__", None) is _DATA
        if name in _CUTS or reads_data:
            # What new_tensor belongs to lends it no more than a dtype.
            given = args[1:] if name == "new_tensor" else args
            if any(map(differentiable, (*given, *kwargs.values()))):
                self._recorder.refuse(f"it cuts a gradient off (.{'data' if reads_data else name})")
        if name == "requires_grad_" or (name == "__set__" and func.__self__ is _TRACKED):
            wanted = args[1] if len(args) > 1 else kwargs.get("requires_grad", True)
            if wanted == args[0].requires_grad:
                # Asked of torch, it could raise, because the state of a trace is no leaf.
                return args[0]
            if self._recorder.owns(args[0]):
                self._recorder.refuse("it changes requires_grad of a tensor that it owns")
        if name == "detach" and differentiable(args[0]):
            return self._detached(func, args, kwargs)
        return func(*args, **kwargs)

    def _detached(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        self._recorder.detaching = True
        try:
            return func(*args, **kwargs)
        finally:
            self._recorder.detaching = False


def differentiable(item: Any) -> bool:
    """Whether autograd, or a transform of ``torch.func`` that is under way, tracks a tensor."""
    return isinstance(item, Tensor) and any(tensor.requires_grad for tensor in _layers(item))


def _layers(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor and what the transforms wrapped in it."""
    yield tensor
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
        yield tensor
