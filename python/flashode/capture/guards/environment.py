"""What outside any function would make captures untrue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._device import DeviceContext

from flashode.capture.guards.kinds import Kinds
from flashode.capture.refusal import with_article
from flashode.declined import Reason
from flashode.dispatch import is_wrapped, tracer
from flashode.state import State

# Torch's default dtype, how many tensors a tuple state has, and the dtypes and devices of its tensors.
Kind = tuple[torch.dtype, int | None, tuple[tuple[torch.dtype, torch.device], ...]]
MOST_USUAL = 8

_OUTSIDE = "solve outside of it"
_DTYPES = (torch.float32, torch.float64)
_TYPES = (Tensor, nn.Parameter)
# Torch fills and empties these dictionaries, and never puts others in their place.
_forward_hooks = nn.modules.module._global_forward_hooks
_forward_pre_hooks = nn.modules.module._global_forward_pre_hooks
_backward_hooks = nn.modules.module._global_backward_hooks
_backward_pre_hooks = nn.modules.module._global_backward_pre_hooks
_default_dtype = torch.get_default_dtype
_modes = torch._C._len_torch_function_stack
# All that Python code has registered: ``namespace/operator/dispatch key``.
_implementations: set[str] = torch.library._impls
# Where an implementation takes the place of one that an evaluation would come to. Torch brings none in Python
# there, but for some of GPUs, which it has registered when it is imported.
_BROUGHT = frozenset(key for key in _implementations if key.endswith("/CUDA"))
_KEYS = frozenset(
    [
        *(
            "CPU",
            "CUDA",
            "Autograd",
            "AutogradCPU",
            "AutogradCUDA",
            "ADInplaceOrView",
            "BackendSelect",
            "Dense",
        ),
        *("CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"),
    ]
)
_saving: Any = torch._C._autograd


def kind_of(y0: State) -> Kind | Reason:
    """What a capture presumes of a state besides its shape, or the reason why there can be none now."""
    number = len(y0) if type(y0) is tuple else None
    parts: Sequence[Tensor] = (y0,) if number is None else y0  # type: ignore[assignment]
    if not (
        _forward_hooks
        or _forward_pre_hooks
        or _backward_hooks
        or _backward_pre_hooks
        or _modes()
        or forward_ad._current_level >= 0
        or _operators.harmless != len(_implementations)
    ):
        for kind, same in _usual:
            if kind[0] is _default_dtype() and kind[1] == number and same(*parts):
                return kind
    reason = _obstacle(parts)
    if reason is not None:
        return reason
    kind = (_default_dtype(), number, tuple([(part.dtype, part.device) for part in parts]))
    # Autocast and modes are looked at each time: what is no obstacle on this device may be one on another.
    if not (torch._C._is_any_autocast_enabled() or _modes()):
        kinds = Kinds()
        kinds.learn(*parts, any_size=True)
        _usual[:] = [(kind, kinds.same), *_usual[: MOST_USUAL - 1]]
    return kind


def _obstacle(parts: Sequence[Tensor]) -> Reason | None:
    """The reason why no field can be captured for a state of these parts at this moment, if there is one."""
    tracing = tracer()
    if tracing is not None:
        return Reason(tracing, _OUTSIDE)
    for part in parts:
        if part.dtype not in _DTYPES:
            what = f"the state is {part.dtype}"
            return Reason(what, "solve in float32 or float64 (y0.float(), y0.double())")
        if type(part) not in _TYPES or is_wrapped(part):
            what = f"the state is {with_article(type(part).__name__)}, not an ordinary tensor"
            return Reason(what, "give y0.as_subclass(torch.Tensor)")
    device = parts[0].device
    if torch.is_autocast_enabled(device.type):
        return Reason("autocast is on", "solve with torch.autocast(device_type, enabled=False)")
    if forward_ad._current_level >= 0:
        return Reason("forward-mode differentiation is active", _OUTSIDE)
    if _forward_hooks or _forward_pre_hooks or _backward_hooks or _backward_pre_hooks:
        return Reason("global module hooks are set", "remove them (handle.remove())")
    if _operators.replaced():
        what = "operators of torch's were implemented anew in Python (torch.library)"
        return Reason(what, "remove those implementations, or solve in the eager engine")
    return None if not _modes() or _default_device(device) else Reason("a torch mode is active", _OUTSIDE)


class _Operators:
    """The operators of torch's, which may be given other implementations in Python."""

    # How many implementations are registered, if none is of an operator that fields are made of; else -1.
    harmless = -1

    def replaced(self) -> bool:
        """Whether any that fields are made of is not as torch brings it."""
        keys = (key.split("/") for key in _implementations - _BROUGHT)
        replaced = any(key[0] == "aten" and key[-1] in _KEYS for key in keys)
        self.harmless = -1 if replaced else len(_implementations)
        return replaced


_operators = _Operators()
# The kinds of states for which there was no obstacle of late, each with what recognises such states and a
# dispatcher that is at work for nothing else.
_usual: list[tuple[Kind, Callable[..., bool]]] = []


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


def _default_device(device: torch.device) -> bool:
    """Whether every mode of torch's functions is a default device that is this one."""
    functions = range(torch._C._len_torch_function_stack())
    modes: list[Any] = [torch._C._get_function_stack_at(position) for position in functions]
    same = (device, torch.device(device.type))
    return all(type(mode) is DeviceContext and mode.device in same for mode in modes)
