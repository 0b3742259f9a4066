"""Functions with a gradient of their own, which no operation shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction


def custom_backwards(values: Iterable[Tensor]) -> Iterator[str]:
    """The names of each ``autograd.Function`` written in Python in the graph behind some tensors."""
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn for value in values if value.grad_fn is not None]
    for node in waiting:
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            yield type(node).__name__
        waiting.extend(following for following, _ in node.next_functions if following is not None)
