"""What torch's dispatcher does beside computing: tracing, transforming, modes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

import torch

Result = TypeVar("Result")

# The dispatch keys of ordinary code; tracers, modes and transforms add theirs while they are active.
_USUAL_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.BackendSelect) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.ADInplaceOrView
)
# Every solve asks these, so they are looked up once.
_AT_REST = _USUAL_KEYS.raw_repr()
_jit_trace = torch._C._get_tracing_state
_transform = torch._C._functorch.maybe_current_level
_modes = torch._C._len_torch_dispatch_stack
_keys = torch._C._dispatch_tls_local_include_set


def tracer() -> str | None:
    """The tracer, transform or mode that sees the present operations, in words; None where there is none."""
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


def cached(function: Callable[..., Result]) -> Callable[..., Result]:
    """Caches the tensors that a function returns for constants: later solves may use them in any mode.

    Tensors that are computed while a tracer is at work belong to the tracer, and are not cached. One that is
    computed in inference mode could not be saved for a backward pass.
    """

    def compute(*arguments: object) -> Result:
        with torch.inference_mode(False):
            return function(*arguments)

    compute_once = lru_cache(maxsize=64)(compute)

    @wraps(function)
    def look_up(*arguments: object) -> Result:
        return compute_once(*arguments) if tracer() is None else compute(*arguments)

    return look_up
