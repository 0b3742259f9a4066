"""Tensors that a function makes of numbers among which there are tensors: `torch.tensor([t, 1.0])`.

Torch reads the values of such tensors, which a trace could not follow. What comes of it has no gradient, and
can as well be computed from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce, wraps
from typing import Any

import torch
from torch import Tensor

from flashode.capture.tracing.recorder import Recorder
from flashode.capture.tracing.traced import leaves

# The arguments of each, as far as they may be given by their places.
_ARGUMENTS = {
    "tensor": ("numbers",),
    "as_tensor": ("numbers", "dtype", "device"),
    "asarray": ("numbers",),
    "new_tensor": ("like", "numbers"),
    "full": ("size", "numbers"),
    "full_like": ("like", "numbers"),
    "new_full": ("like", "size", "numbers"),
}
_NAMES = {"data": "numbers", "obj": "numbers", "fill_value": "numbers", "input": "like"}
_KNOWN = frozenset(["numbers", "like", "size", "dtype", "device", "requires_grad"])
# They hand on a tensor that they are given.
_AS_IT_IS = ("as_tensor", "asarray")


class Filling:
    """Makes what a function would have torch make of numbers and tensors.

    Args:
        recorder: Records the call.
        detach: Gives a tensor that depends on t or y without its gradient.
    """

    def __init__(self, recorder: Recorder, detach: Callable[[Tensor], Tensor]) -> None:
        self._recorder = recorder
        self._depends = recorder.depends
        self._detach = detach

    def made(self, name: str, args: Any, kwargs: Any) -> Tensor | None:
        """What a function makes; None of another one, or where it is not known what that is.

        Args:
            name: Of the function.
            args: What it is given.
            kwargs: By name.
        """
        places = _ARGUMENTS.get(name)
        if places is None or len(args) > len(places):
            return None
        given = {_NAMES.get(key, key): value for key, value in kwargs.items()}
        given.update(zip(places, args, strict=False))
        numbers = given.get("numbers")
        if not any(isinstance(leaf, Tensor) and self._depends(leaf) for leaf in leaves(numbers)):
            return None
        if not given.keys() <= _KNOWN or (name in _AS_IT_IS and isinstance(numbers, Tensor)):
            return None
        self._recorder.calls += 1
        try:
            return self._made(name, given)
        finally:
            self._recorder.calls -= 1

    def _made(self, name: str, given: dict[str, Any]) -> Tensor | None:
        numbers, like = given["numbers"], given.get("like")
        own = _dtype(numbers)
        size = like.shape if name == "full_like" and like is not None else given.get("size")
        if own is None or (size is not None and not isinstance(numbers, Tensor)):
            return None
        if size is not None and own.is_floating_point:
            own = torch.get_default_dtype()
        made = self._joined(numbers, given.get("dtype") or (own if like is None else like.dtype))
        if made is None or (size is not None and made.ndim):
            return None
        made = made.to(given.get("device") or (made if like is None else like).device)
        if size is not None:
            made = made.expand(size).clone()
        return made.requires_grad_(given.get("requires_grad", False))

    def _joined(self, numbers: Any, dtype: torch.dtype) -> Tensor | None:
        """A tensor without a gradient of nested numbers and 0-d tensors; None where their lengths differ."""
        if isinstance(numbers, Tensor):
            cut = self._detach if self._depends(numbers) else Tensor.detach
            return cut(numbers).to(dtype, copy=True)
        if isinstance(numbers, (bool, int, float)):
            return torch.tensor(numbers, dtype=dtype)
        parts = [part for number in numbers if (part := self._joined(number, dtype)) is not None]
        if not parts or len(parts) < len(numbers) or len({part.shape for part in parts}) > 1:
            return None
        return torch.stack(parts)


def _dtype(numbers: Any) -> torch.dtype | None:
    """What torch makes of nested numbers and 0-d tensors; None of anything else."""
    if isinstance(numbers, Tensor):
        return numbers.dtype
    if isinstance(numbers, (bool, int, float)):
        return torch.tensor(numbers).dtype
    if not isinstance(numbers, (list, tuple)) or any(isinstance(n, Tensor) and n.ndim for n in numbers):
        return None
    known = [dtype for number in numbers if (dtype := _dtype(number)) is not None]
    return reduce(torch.promote_types, known) if known and len(known) == len(numbers) else None


@contextmanager
def filling_allowed(filling: Filling) -> Iterator[None]:
    """Lets tensors fill others whose gradients are recorded: torch would raise before any mode is asked.

    Other threads fill theirs as ever meanwhile.
    """
    spaces: list[tuple[Any, str]] = [(torch, "full"), (torch, "full_like"), (Tensor, "new_full")]
    originals = [(space, name, space.__dict__.get(name)) for space, name in spaces]

    def instead(name: str, original: Any) -> Any:
        @wraps(original)
        def fill(*args: Any, **kwargs: Any) -> Any:
            made = filling.made(name, args, kwargs)
            return original(*args, **kwargs) if made is None else made

        return fill

    try:
        for space, name in spaces:
            setattr(space, name, instead(name, getattr(space, name)))
        yield
    finally:
        for space, name, original in originals:
            if original is None:
                delattr(space, name)
            else:
                setattr(space, name, original)
