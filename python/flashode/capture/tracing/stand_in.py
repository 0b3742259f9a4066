"""What a function is given in the place of time and state while it is traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flashode.capture.refusal import Refusal
from flashode.capture.tracing.remedies import FORMAT


class Expired(Tensor):
    """A stand-in after the trace, that the function has kept."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

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


def stand_in(value: Tensor) -> Tensor:
    """A tensor without storage that stands for a value depending on ``t`` or ``y``.

    Python sees an ordinary tensor: what the function asks of its class and its attributes has the answer that
    it has in a solve.
    """
    # What is asked of the value here is not what the function asks.
    with torch._C.DisableTorchFunction():
        tensor: Tensor = Tensor._make_wrapper_subclass(
            Expired,
            value.size(),
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            layout=value.layout,
            device=value.device,
            requires_grad=False,
        )
    tensor.__class__ = Tensor
    return tensor


def expire(tensor: Tensor) -> None:
    """Makes a stand-in useless, once nothing records what is done to it."""
    tensor.__class__ = Expired
