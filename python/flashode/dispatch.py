"""What torch's dispatcher is at work for, when it does more than to compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

import torch

Made = TypeVar("Made")

# The keys that it may look at at any time; tracers, modes and transforms add theirs while they are at work.
_USUAL_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.BackendSelect) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.ADInplaceOrView
)
# Asking these is most of what is asked at every solve.
_AT_REST = _USUAL_KEYS.raw_repr()
_jit_trace = torch._C._get_tracing_state
_transform = torch._C._functorch.maybe_current_level
_modes = torch._C._len_torch_dispatch_stack
_keys = torch._C._dispatch_tls_local_include_set


def tracer() -> str | None:
    """What records or transforms the operations that are performed now; None where they are just done."""
    if _jit_trace() is not None:
        return "torch.jit is tracing"
    if _transform() is not None:
        return "a torch.func transform (vmap, grad, jvp, ...) is active"
    if _modes():
        return "a torch mode is active"
    keys = _keys()
    if keys.raw_repr() == _AT_REST:
        return None
    unusual = keys - _USUAL_KEYS
    return f"torch's dispatcher is not as usual ({unusual})" if unusual.raw_repr() else None


# Whether a transform of torch.func has a tensor stand for another one, which has no memory of its own.
is_wrapped: Callable[[torch.Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor


def kept(make: Callable[..., Made]) -> Callable[..., Made]:
    """Keeps what a function makes of constants: tensors that later solves may use, whatever mode they are in.

    What is made while a tracer is at work belongs to the tracer, and is made for the one call. A tensor made
    in inference mode could not be saved for a backward pass.
    """

    def made(*given: object) -> Made:
        with torch.inference_mode(False):
            return make(*given)

    keeping = lru_cache(maxsize=64)(made)

    @wraps(make)
    def kept_or_made(*given: object) -> Made:
        return keeping(*given) if tracer() is None else made(*given)

    return kept_or_made
