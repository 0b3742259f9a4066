"""Whether tensors are still what they were, in one call for all of them.

Asking a tensor for its dtype, its shape and so on from Python takes half a microsecond. Torch has a function
in C++ that asks many tensors at once. It is not public: where it is missing, or does not do what is relied on
here, tensors are asked one by one.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flashode.capture.watching.guard_code import Alike
from flashode.state import State, components


def alike(state: State, tensors: Sequence[Tensor]) -> Alike | None:
    """What compares another state and other tensors with these, none of which it holds.

    Args:
        state: a tensor or a tuple of tensors; all tensors here are of the types ``Tensor``, ``Parameter`` and
            ``Buffer`` alone.
        tensors: more of them.

    Returns:
        a function of a state and of as many tensors, in that order, which is true if they are distinct, each
        is of the type, dtype, device, layout, sizes, strides and ``requires_grad`` of its counterpart, and
        what the dispatcher does with them has not changed, as autocast, inference mode, transforms and modes
        change it. None where torch has no such function.
    """
    check = _made(_GUARDS, (*components(state), *tensors))
    if check is None or isinstance(state, Tensor):
        return check
    size = len(state)

    def of_components(state: State, *tensors: Tensor) -> bool:
        return type(state) is tuple and len(state) == size and check(*state, *tensors)

    return of_components


def _made(guards: Any, tensors: Sequence[Tensor]) -> Alike | None:
    if guards is None:
        return None
    check: Alike = guards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    return check


def _found() -> Any:
    """The class in torch, if it does what is relied on."""
    try:
        guards = importlib.import_module("torch._C._dynamo.guards").TensorGuards
        return guards if _tells_apart(guards) else None
    except Exception:
        # Whatever its interface has become.
        return None


def _tells_apart(guards: Any) -> bool:
    given = torch.zeros(2, 3)
    like, among_parameters = _made(guards, [given]), _made(guards, [given, nn.Parameter(given)])
    assert like is not None and among_parameters is not None
    others = [
        nn.Parameter(given, requires_grad=False),
        torch.zeros(2, 3, requires_grad=True),
        given.double(),
        torch.zeros(3, 3),
        torch.zeros(6),
        torch.zeros(3, 2).t(),
        torch.zeros(2, 3, device="meta"),
    ]
    accepts = like(torch.ones(2, 3)) and among_parameters(torch.ones(2, 3), nn.Parameter(torch.ones(2, 3)))
    with torch.no_grad():
        apart = not any(map(like, others))
    with torch.inference_mode():
        modes = not like(given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        modes = modes and not like(given)
    kinds = not any(map(like, others)) and not among_parameters(given, given)
    return bool(accepts) and apart and modes and kinds


_GUARDS = _found()
