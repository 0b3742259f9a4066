"""A norm or a grid constructor that reads what a captured field counts, or changes what it reads."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
from flashode import use_engine
from flashode.engines import EngineDeclined

T = torch.linspace(0, 1, 3, dtype=torch.float64)
Y = torch.ones(3, 2, dtype=torch.float64)
pytestmark = [
    pytest.mark.usefixtures("compiled"),
    pytest.mark.filterwarnings("ignore::flashode.FallbackWarning"),
]


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nfe = 0
        self.rate = 1.0
        self.seen: list[int] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return y * self.rate


def reading(field: Field, *_: Any) -> None:
    field.seen.append(field.nfe)


def changing(field: Field, *_: Any) -> None:
    field.rate += 0.01


def through_the_class(field: Field, *_: Any) -> None:
    Field.forward.__kwdefaults__ = None
    object.__setattr__(field, "rate", field.rate + 0.01)


def nothing(field: Field, *_: Any) -> None:
    pass


def calling(field: Field, *arguments: Any) -> None:
    if len(arguments) == 3:
        func, y0, t = arguments
        func(t[0], y0)


def with_a_norm(field: Field, does: Callable[..., None]) -> dict[str, Any]:
    def norm(x: Tensor) -> Tensor:
        does(field, x)
        return x.abs().max()

    return {"method": "dopri5", "options": {"norm": norm}}


def with_a_grid(field: Field, does: Callable[..., None]) -> dict[str, Any]:
    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        does(field, func, y0, t)
        return torch.linspace(0, 1, 11, dtype=torch.float64)

    return {"method": "rk4", "options": {"grid_constructor": grid}}


@pytest.mark.parametrize("asked", [with_a_norm, with_a_grid])
@pytest.mark.parametrize("does", [nothing, reading, changing, through_the_class, calling])
def test_it_finds_what_it_would_find_in_torchdiffeq(
    asked: Callable[..., dict[str, Any]], does: Callable[..., None]
) -> None:
    results = []
    for library in (flashode, torchdiffeq):
        field = Field()
        settings = asked(field, does)
        ends = [library.odeint(field, Y, T, **settings)[-1] for _ in range(3)]
        results.append((ends, field.nfe, field.seen, field.rate))
    ours, theirs = results
    assert ours[1:] == theirs[1:]
    for end, expected in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(end, expected, rtol=1e-5, atol=1e-5)


SCALE = torch.ones(2, dtype=torch.float64)
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "a function of torch": torch.linalg.norm,
    "a lambda": lambda x: x.abs().max(),
    "one that reads a tensor": lambda x: (x * SCALE).square().mean().sqrt(),
    "one that asks for numbers": lambda x: x.abs().max() * float(x.sum() == x.sum()),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_their_own_are_called_from_the_engine(name: str) -> None:
    field = Field()
    with use_engine("native"):
        flashode.odeint(field, Y, T, method="dopri5", options={"norm": NORMS[name]})
    assert field.nfe > 0


@pytest.mark.parametrize(
    ("asked", "named"), [(with_a_norm, "its norm"), (with_a_grid, "its grid constructor")]
)
def test_one_that_has_nothing_in_common_with_the_field_is_called_from_the_engine(
    asked: Callable[..., dict[str, Any]], named: str
) -> None:
    class Other:
        rate = 1.0

    field = Field()
    with use_engine("native"):
        flashode.odeint(field, Y, T, **asked(Other(), changing))
        for does in (nothing, changing):
            with pytest.raises(EngineDeclined, match=f"{named} shares .* with it"):
                flashode.odeint(field, Y, T, **asked(field, does))


def node(end: Tensor) -> Any:
    """The solve in the graph behind one of its states."""
    grad_fn: Any = end.grad_fn
    while not hasattr(grad_fn, "adjoint_options"):
        grad_fn = grad_fn.next_functions[0][0]
    return grad_fn


def adjoint_options(field: Field, does: Callable[..., None]) -> dict[str, Any]:
    def norm(parts: Any) -> Tensor:
        does(field, parts)
        return max(part.abs().max() for part in parts)  # type: ignore[type-var,no-any-return]

    return {"norm": norm}


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("does", [nothing, reading])
def test_the_norm_of_the_adjoint_equations(does: Callable[..., None], replaced: bool) -> None:
    results = []
    for library in (flashode, torchdiffeq):
        field = Field()
        y0 = Y.clone().requires_grad_()
        options = adjoint_options(field, does)
        arguments = {} if replaced else {"adjoint_options": options}
        end = library.odeint_adjoint(field, y0, T, method="dopri5", adjoint_params=(), **arguments)[-1]
        if replaced:
            node(end).adjoint_options["norm"] = options["norm"]
        (gradient,) = torch.autograd.grad(end.sum(), y0)
        results.append((gradient, field.nfe, field.seen))
    ours, theirs = results
    assert ours[1:] == theirs[1:]
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
