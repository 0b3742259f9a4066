"""How the catalogue notes down one field: the code as a user writes it, and a state to start from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

State = Tensor | tuple[Tensor, ...]
Field = Callable[[Any, Any], Any]
Written = TypeVar("Written", bound=Callable[..., Any])


@dataclass(frozen=True)
class Case:
    """A field of the catalogue.

    Attributes:
        name: what the test is called.
        written: the field's code; see ``Catalogue.add``.
        y0: the state to start from, float64.
        batched: whether the states along the first dimension are independent trajectories.
        resizable: whether there may be another number of them, other than one, which torch broadcasts.
        span: the length of the time interval to solve over.
        tolerance: the largest difference of engines, relative to the largest element.
    """

    name: str
    written: Callable[..., Any]
    y0: State
    batched: bool
    resizable: bool
    span: float
    tolerance: float

    def build(self, dtype: torch.dtype = torch.float64) -> tuple[Field, tuple[Tensor, ...]]:
        """A new field and the tensors whose gradients it is asked for; the same each time."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                field = self.written() if _is_recipe(self.written) else self.written
        finally:
            torch.set_default_dtype(before)
        func, tensors = field if isinstance(field, tuple) else (field, ())
        if isinstance(func, nn.Module):
            tensors = (*tensors, *func.parameters())
        return func, tuple(x for x in tensors if x.requires_grad)


class Catalogue(list[Case]):
    """The cases of one theme."""

    def add(
        self,
        y0: State,
        *,
        name: str | None = None,
        batched: bool | None = None,
        resizable: bool = True,
        span: float = 0.5,
        tolerance: float = 1e-9,
    ) -> Callable[[Written], Written]:
        """A decorator that adds what it decorates as a case.

        That is a function ``(t, y)``, which is the field; or a Module class or a function without arguments,
        which makes the field, in the latter case perhaps as ``(field, tensors it owns)``.

        Args:
            y0: the state to start from.
            name: of the case; by default that of the code.
            batched: by default, whether ``y0`` has more than one dimension.
            resizable: if it is batched, whether the code works for any number of trajectories.
            span: the length of the time interval.
            tolerance: see ``Case``; anything but the default says why in a comment.
        """
        first = y0[0] if isinstance(y0, tuple) else y0
        rows = first.ndim > 1 if batched is None else batched
        sizes = resizable and rows and len(first) > 1

        def added(written: Written) -> Written:
            self.append(Case(name or written.__name__, written, y0, rows, sizes, span, tolerance))
            return written

        return added


def _is_recipe(written: Callable[..., Any]) -> bool:
    parameters = () if inspect.isclass(written) else inspect.signature(written).parameters.values()
    return all(parameter.default is not inspect.Parameter.empty for parameter in parameters)


def normal(*shape: int, seed: int = 1) -> Tensor:
    """A state of standard normal numbers."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def positive(*shape: int, seed: int = 1) -> Tensor:
    """A state of numbers between 0.4 and 1.4."""
    return 0.4 + torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
