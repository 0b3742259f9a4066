"""Whether tensors are of the kinds that they were, in one call for all of them.

Asking a tensor for its dtype, its shape and so on from Python takes half a microsecond. Torch has a function
in C++ that asks many tensors at once. It is not public: where it is missing, or does not do what is relied on
here, tensors are asked one by one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class Kinds:
    """Remembers the kinds of some tensors, none of which it holds.

    Attributes:
        same: whether as many tensors are distinct, each is of the type (``Tensor``, ``Parameter`` or
            ``Buffer``), dtype, device, layout, sizes, strides and ``requires_grad`` of its counterpart, and
            what the dispatcher does with them is what it was, as autocast, inference mode, transforms and
            modes change it. Where it says no, they may still be, and have to be asked one by one.
    """

    def __init__(self) -> None:
        self.same: Callable[..., bool] = _no

    def learn(self, *tensors: Tensor, any_size: bool = False) -> None:
        """Remembers these tensors' kinds for earlier ones, their sizes only if not ``any_size``."""
        if _GUARDS is not None:
            free = [[None] * tensor.ndim for tensor in tensors] if any_size else None
            self.same = _GUARDS(*tensors, dynamic_dims_sizes=free, dynamic_dims_strides=free).check


def _no(*_: Tensor) -> bool:
    return False


def _tensor_guards() -> Any:
    """The class in torch, if it does what is relied on."""
    try:
        guards = importlib.import_module("torch._C._dynamo.guards").TensorGuards
        return guards if _tells_apart(guards) else None
    except Exception:
        # Whatever its interface has become.
        return None


def _tells_apart(guards: Any) -> bool:
    def check(*tensors: Tensor, free: list[Any] | None = None) -> Any:
        return guards(*tensors, dynamic_dims_sizes=free, dynamic_dims_strides=free).check

    zeros = partial(torch.zeros, device="cpu")
    tensor = zeros(2, 3)
    like, like_both = check(tensor), check(tensor, nn.Parameter(tensor))
    of_any_size = check(tensor, free=[[None, None]])
    others = [
        nn.Parameter(tensor, requires_grad=False),
        zeros(2, 3, requires_grad=True),
        tensor.double(),
        zeros(3, 3),
        zeros(6),
        zeros(3, 2).t(),
        torch.zeros(2, 3, device="meta"),
    ]
    accepts = like(zeros(2, 3)) and like_both(zeros(2, 3), nn.Parameter(zeros(2, 3)))
    accepts = accepts and not like_both(tensor, tensor) and not any(map(like, others))
    accepts = accepts and [of_any_size(other) for other in others] == [False] * 3 + [True, False, True, False]
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode:
            tells = not any(map(like, others)) and like(tensor) == isinstance(mode, torch.no_grad)
        accepts = accepts and tells
    return bool(accepts)


_GUARDS = _tensor_guards()
