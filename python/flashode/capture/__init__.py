"""Capture: from the user's function to a Program that stays true, or a reason why not."""

from __future__ import annotations

import torch
from torch import Tensor

from flashode.capture.cache import Cache, Entry, Key
from flashode.capture.captured import Capture
from flashode.capture.guard_code import Bound
from flashode.capture.guards import environment_obstacle, watch
from flashode.capture.making import Field, confirm, make
from flashode.capture.refusal import Refusal
from flashode.declined import Declined

__all__ = ["Capture", "capture"]

_DTYPES = (torch.float32, torch.float64)
_KINDS = (Tensor, torch.nn.Parameter)
_cache = Cache()


def capture(func: Field, t: Tensor, y0: Tensor) -> Capture | Declined:
    """Captures a vector field, or finds an earlier capture that still holds.

    The function may be called a few times; nothing it does then can be noticed afterwards.

    Args:
        func: ``func(t, y) -> dy/dt``.
        t: a time at which the field is defined, 0-d, in y0's dtype.
        y0: a state at which it is defined, float32 or float64, of any shape.

    Returns:
        the capture, bound to the function's tensors as they are now, or the reason why there is none.
    """
    obstacle = _obstacle(y0)
    if obstacle is not None:
        return Declined(obstacle)
    key = Key.of(y0)
    entries = _cache.entries(func)
    for position, entry in enumerate(entries):
        bound = entry.check(func) if entry.serves(key) else None
        if bound is not None:
            if position:
                _cache.use(entries, entry)
            return _bound(entry, bound, func, t, y0)
    try:
        watched = watch(func)
    except Refusal as refusal:
        # Not kept: where something cannot be watched, nothing would tell that the reason is gone.
        return Declined(str(refusal))
    entry = make(func, watched, t.detach(), y0.detach())
    _cache.use(entries, entry)
    bound = entry.check(func)
    return Declined("what it depends on changes by itself") if bound is None else entry.bind(bound)


def _bound(entry: Entry, bound: Bound, func: Field, t: Tensor, y0: Tensor) -> Capture | Declined:
    found = entry.bind(bound)
    if not isinstance(found, Capture) or not found.batched:
        return found
    size = y0.shape[0]
    if size not in entry.sizes:
        entry.note_size(size, confirm(func, entry, bound[0], t.detach(), y0.detach()))
    return entry.sizes[size] or found


def _obstacle(y0: Tensor) -> str | None:
    if y0.dtype not in _DTYPES:
        return f"the state is {y0.dtype}; only float32 and float64 are captured"
    if type(y0) not in _KINDS or torch._C._functorch.is_functorch_wrapped_tensor(y0):
        return f"the state is a {type(y0).__name__}, not an ordinary tensor"
    if y0.numel() == 0:
        return "the state is empty"
    if torch.is_autocast_enabled(y0.device.type):
        return "autocast is on"
    return environment_obstacle()
