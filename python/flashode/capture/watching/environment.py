"""What outside any function would make captures untrue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext

from flashode.capture.refusal import with_article
from flashode.declined import Reason
from flashode.dispatch import tracer

_OUTSIDE = "solve outside of it"
_DTYPES = (torch.float32, torch.float64)
_KINDS = (Tensor, nn.Parameter)
_default_dtype = torch.get_default_dtype
# Torch fills and empties these dictionaries, and never puts others in their place.
_forward_hooks = nn.modules.module._global_forward_hooks
_forward_pre_hooks = nn.modules.module._global_forward_pre_hooks
_backward_hooks = nn.modules.module._global_backward_hooks
_backward_pre_hooks = nn.modules.module._global_backward_pre_hooks
_modes = torch._C._len_torch_function_stack
_dispatch_modes = torch._C._len_torch_dispatch_stack
# All that Python code has registered: ``namespace/operator/dispatch key``.
_implementations: set[str] = torch.library._impls
# Where an implementation takes the place of one that an evaluation on the CPU would come to. Torch brings
# none in Python there.
_KEYS = frozenset(
    [
        *("CPU", "Autograd", "AutogradCPU", "ADInplaceOrView", "BackendSelect", "Dense"),
        *("CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"),
    ]
)
_saving: Any = torch._C._autograd


def obstacle(states: Sequence[Tensor]) -> Reason | None:
    """The reason why no field can be captured for a state at this moment, if there is one.

    Args:
        states: the components of the state, on one device.
    """
    tracing = tracer()
    if tracing is not None:
        return Reason(tracing, _OUTSIDE)
    for y0 in states:
        if y0.dtype not in _DTYPES:
            return Reason(f"the state is {y0.dtype}", "solve in float32 or float64 (y0.float(), y0.double())")
        if type(y0) not in _KINDS or torch._C._functorch.is_functorch_wrapped_tensor(y0):
            what = f"the state is {with_article(type(y0).__name__)}, not an ordinary tensor"
            return Reason(what, "give y0.as_subclass(torch.Tensor)")
    if not any(y0.numel() for y0 in states):
        return Reason("the state is empty", "give it at least one number")
    if torch.is_autocast_enabled(y0.device.type):
        return Reason("autocast is on", "solve with torch.autocast(device_type, enabled=False)")
    if forward_ad._current_level >= 0:
        return Reason("forward-mode differentiation is active", _OUTSIDE)
    if _forward_hooks or _forward_pre_hooks or _backward_hooks or _backward_pre_hooks:
        return Reason("global module hooks are set", "remove them (handle.remove())")
    if not _operators.shipped():
        what = "operators of torch's were implemented anew in Python (torch.library)"
        return Reason(what, "remove those implementations, or solve in the eager engine")
    return _mode_obstacle(y0) if torch._C._len_torch_function_stack() else None


def undisturbed(default_dtype: torch.dtype) -> bool:
    """Whether no obstacle stands that tensors, compared by ``alike``, would not show by themselves.

    Args:
        default_dtype: torch's, as it was.
    """
    return not (
        _default_dtype() is not default_dtype
        or _modes()
        or _dispatch_modes()
        or not _operators.shipped()
        or forward_ad._current_level >= 0
        or _forward_hooks
        or _forward_pre_hooks
        or _backward_hooks
        or _backward_pre_hooks
    )


class _Operators:
    """The operators of torch's, which may be given other implementations in Python."""

    def __init__(self) -> None:
        self._count = -1
        self._shipped = False

    def shipped(self) -> bool:
        """Whether all of those that fields are made of are as torch brings them."""
        if len(_implementations) != self._count:
            keys = (key.split("/") for key in _implementations)
            self._shipped = all(key[0] != "aten" or key[-1] not in _KEYS for key in keys)
            self._count = len(_implementations)
        return self._shipped


_operators = _Operators()


@contextmanager
def unhooked() -> Iterator[None]:
    """Takes away the hooks for saved tensors, which are not to see what a function saves meanwhile.

    Others in front of them would not do: where any are set, ``torch.func.grad`` raises.
    """
    hooks = []
    while (innermost := _saving._top_saved_tensors_default_hooks(False)) is not None:
        hooks.append(innermost)
        _saving._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            _saving._push_saved_tensors_default_hooks(pack, unpack)


def _mode_obstacle(y0: Tensor) -> Reason | None:
    """Every mode is in the way but a default device that is the state's own."""
    functions = range(torch._C._len_torch_function_stack())
    modes: list[Any] = [torch._C._get_function_stack_at(position) for position in functions]
    harmless = all(type(mode) is DeviceContext and _same_device(mode.device, y0.device) for mode in modes)
    return None if harmless else Reason("a torch mode is active", _OUTSIDE)


def _same_device(default: torch.device, device: torch.device) -> bool:
    return default in (device, torch.device(device.type))
