"""What a function is given in the place of time and state while it is traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flashode.capture.refusal import Refusal
from flashode.capture.tracing.remedies import FORMAT


class StandIn(Tensor):
    """A tensor without storage that stands for a value depending on ``t`` or ``y``."""

    value: Tensor
    place: int
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, value: Tensor, place: int) -> StandIn:
        made: StandIn = Tensor._make_wrapper_subclass(
            cls,
            value.size(),
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            layout=value.layout,
            device=value.device,
            requires_grad=False,
        )
        made.value = value
        made.place = place
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        raise Refusal("it prints or formats a tensor that depends on t or y", remedy=FORMAT)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, kinds: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise Refusal(
            "it keeps a tensor that depends on t or y beyond the call",
            remedy="compute it in each call, from t and y",
        )


# What the user's code may print of its kind, and what torch's errors say of it.
StandIn.__name__ = StandIn.__qualname__ = "Tensor"
