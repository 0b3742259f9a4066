"""Every element-wise activation of ``torch.nn``, and its derivative inside a field."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import activation

from capture.agreement import must_capture, random
from capture.exactly import lowers, same_at, states

D = torch.float64
KINKS = states(0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, 0.3, -0.3, 25.0, -25.0, features=4)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "Threshold": lambda: nn.Threshold(0.5, 20.0),
    "ReLU": nn.ReLU,
    "RReLU": lambda: nn.RReLU(0.1, 0.3).eval(),
    "Hardtanh": lambda: nn.Hardtanh(-0.5, 1.0),
    "ReLU6": nn.ReLU6,
    "Sigmoid": nn.Sigmoid,
    "Hardsigmoid": nn.Hardsigmoid,
    "Tanh": nn.Tanh,
    "SiLU": nn.SiLU,
    "Mish": nn.Mish,
    "Hardswish": nn.Hardswish,
    "ELU": lambda: nn.ELU(0.7),
    "CELU": lambda: nn.CELU(0.5),
    "SELU": nn.SELU,
    "GELU": nn.GELU,
    "GELU tanh": lambda: nn.GELU("tanh"),
    "Hardshrink": lambda: nn.Hardshrink(0.5),
    "LeakyReLU": lambda: nn.LeakyReLU(0.1),
    "LogSigmoid": nn.LogSigmoid,
    "Softplus": lambda: nn.Softplus(2.0, 6.0),
    "Softshrink": lambda: nn.Softshrink(0.5),
    "PReLU": nn.PReLU,
    "PReLU of features": lambda: nn.PReLU(4),
    "Softsign": nn.Softsign,
    "Tanhshrink": nn.Tanhshrink,
    "Softmin": lambda: nn.Softmin(-1),
    "Softmax": lambda: nn.Softmax(-1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
    "GLU": nn.GLU,
}


class Field(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.inner(y)
        return torch.cat([out, out], -1) if isinstance(self.inner, nn.GLU) else out


class Slope(Field):
    """The gradient of the sum, which the solver differentiates again."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            weights = torch.arange(1.0, 1.0 + y.shape[1], dtype=D) * (t + 1)
            energy = (super().forward(t, y) * weights).sum()
            return torch.autograd.grad(energy, y, create_graph=True)[0]


def test_every_activation_of_torch_is_tried() -> None:
    of_features = {name.split(" ")[0] for name in ACTIVATIONS}
    assert set(activation.__all__) - of_features <= {"MultiheadAttention", "Softmax2d"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    func = Field(ACTIVATIONS[name]()).double()
    rtol = 1e-6 if name == "CELU" else 1e-10  # torch's own gradient of celu is no better than that
    lowers(func, 2 * random(5, 4), [KINKS], list(func.parameters()), rtol)


# Of hardsigmoid torch has no second derivative, so that eager training fails as well.
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "Hardsigmoid"])
def test_derivative_of_an_activation(name: str) -> None:
    func = Slope(ACTIVATIONS[name]()).double()
    captured = must_capture(func, 2 * random(5, 4))
    assert captured.batched
    rtol = 1e-6 if name == "CELU" else 1e-8
    for y in (2 * random(5, 4), 3 * random(6, 4, seed=4), KINKS):
        same_at(func, captured, y, list(func.parameters()), rtol)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "Hardsigmoid"])
def test_a_branch_that_is_not_taken_leaves_no_trace(name: str) -> None:
    """Its derivative may be infinite, and zero times that is not a number."""
    func = Slope(ACTIVATIONS[name]()).double()
    captured = must_capture(func, random(5, 4))
    same_at(func, captured, states(800.0, -800.0, 0.1, 1.0, features=4), rtol=1e-6)


def test_softmax_over_channels() -> None:
    lowers(lambda t, y: F.softmax(y, 1) + nn.Softmax2d()(y), random(4, 2, 3, 2))


@pytest.mark.parametrize("fn", [F.softmax, F.log_softmax])
def test_masked_out_logits(fn: Callable[[Tensor, int], Tensor]) -> None:
    mask = torch.tensor([True, False, True, False])

    def func(t: Tensor, y: Tensor) -> Tensor:
        return fn(y.masked_fill(mask, -torch.inf), -1).masked_fill(mask, 0.0)

    lowers(func, random(5, 4))


def test_large_logits_do_not_overflow() -> None:
    large = states(800.0, -800.0, 0.0, 1.0, features=4)
    lowers(lambda t, y: F.softmax(y, -1) + F.log_softmax(y, -1), random(5, 4), [large])
    lowers(lambda t, y: y * torch.logsumexp(y, -1, keepdim=True), random(5, 4), [large])


@pytest.mark.parametrize("fn", [F.softmax, F.log_softmax, lambda y, dim: F.glu(y, dim).repeat(2, 1)])
def test_along_the_batch_there_is_no_trajectory(fn: Callable[[Tensor, int], Tensor]) -> None:
    assert not must_capture(lambda t, y: fn(y, 0), random(4, 3)).batched
