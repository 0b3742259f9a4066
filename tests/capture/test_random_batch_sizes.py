"""Random fields that compute with the batch size in Python, at random batch sizes, in every mode."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode.verify import Verify
from sampling import WHOLE

D = torch.float64
WIDTH = 4
T = torch.tensor([0.0, 1.0], dtype=D)
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17)
# How many fields are drawn.
COUNT = 2000 if WHOLE else 60

_numbers = torch.Generator().manual_seed(0)
MATRIX = torch.randn(WIDTH, WIDTH, dtype=D, generator=_numbers) * 0.3
TABLE = torch.randn(40, WIDTH, dtype=D, generator=_numbers) * 0.3
COLUMN = TABLE[:, :1].clone()
ROWS = torch.arange(40)
ONE, OTHER = nn.Linear(WIDTH, WIDTH).double(), nn.Linear(WIDTH, WIDTH).double()

# Numbers out of the batch size n.
NUMBERS = (
    *("n", "n + 1", "n - 1", "2 * n", "-n", "n // 2", "n // 3", "n % 2", "n % 3", "n % 4", "n & 3"),
    *("n >> 1", "min(n, 6)", "max(n, 5)", "y.numel()", "y.numel() // 3", "len(y)", "y.size(0)"),
    *("y.size()[0]", "y.T.size(1)", "n.bit_length()", "int(n < 7)", "int(n == 4)"),
    *("int(n == y.shape[1])", "divmod(n, 5)[1]", "round(n / 3)", "len(range(0, n, 2))", "len(list(y))"),
    *("len(y.split(4))", "len(y.chunk(3))", "len(torch.arange(n))", "len(str(n))", "int(f'{n}' > '5')"),
    *("y.nbytes // 32", "(y * 2).shape[0]", "y.sum(1).shape[0]", "bool(n % 2)"),
    *("{3: 1, 6: 2}.get(n, 0)", "{(3, 4): 1}.get(tuple(y.shape), 2)", "sum(1 for _ in y)"),
    *("y.flatten().shape[0]", "n - y.size(0) + 2", "int(y.shape == (6, 4))", "[*y.shape][0]"),
    *("y.shape.numel()", "hash(n) % 5", "n ^ 2"),
)
# What is done with such a number k.
USES = (
    *("k * y", "y + k * 0.01", "y / (k + 0.5)", "y * float(k)", "y ** (1 + k % 2)", "y * (-1) ** k"),
    *("y if k > 4 else y.sin()", "[y.sin(), y.cos(), y][k % 3]", "(ONE if k < 6 else OTHER)(y)"),
    *("y @ MATRIX * (1.0 if k < 5 else 2.0)", "sum((y * 0.1 for _ in range(abs(k) % 5)), y)"),
    *("y * torch.tensor(float(k), dtype=D)", "y * torch.full((WIDTH,), float(k), dtype=D)"),
    *("y.new_ones(n, 4) * k", "TABLE[abs(k) % 40] + y", "TABLE[:n] + y", "TABLE[-n:] * y"),
    *("TABLE[k % 7 : k % 7 + n] + y", "COLUMN[:n] * y", "TABLE[ROWS[:n]] + y", "y[k % n] + y"),
    *("y[-1] + y", "y[n - 1] + y", "y - y[: max(1, k % n)].mean(0)"),
    *("y + torch.arange(n, dtype=D)[:, None]", "y * torch.linspace(0, 1, n, dtype=D)[:, None]"),
    *("y + y.new_zeros(n, 1) + k", "y * torch.ones(n, 1, dtype=D)", "torch.zeros_like(y) + k"),
    *("t * k + y * 0", "torch.roll(y, k, 0)", "torch.roll(y, k, 1)", "y.flip(0) + y"),
    *("y.cumsum(k % 2)", "y.softmax(k % 2)", "y.repeat(2, 1)[:n]", "y.repeat(2, 1)[n:]"),
    *("torch.cat([y, y * 2])[n:]", "torch.cat([y, y])[n // 2 : n // 2 + n]"),
    *("y.reshape(2 * n, 2).sin().reshape(n, 4)", "y.reshape(4, n).reshape(n, 4)", "y.T.reshape(n, 4)"),
    *("y.view(n, 4)", "torch.eye(n, dtype=D) @ y", "torch.cdist(y, y) @ y"),
    *("y.unsqueeze(0).expand(n, n, 4).mean(1)", "y.narrow(0, k % n, 1) + y"),
    *("y.index_select(0, torch.arange(n))", "y[torch.arange(n).flip(0)]", "y[list(range(n))]"),
    *("y.clamp(max=float(k))", "torch.where(y > k * 0.1, y, -y)"),
    *("y.masked_fill(torch.arange(n)[:, None] < k % 3, 0.5)", "y.sum(k % 2, keepdim=True) + y"),
    *("y.mean() * k + y", "y.sum(0) / n + y", "nn.functional.normalize(y, dim=k % 2)"),
    *("nn.functional.pad(y, (k % 2, 0))[:, :4]", "y.tile(1, 2)[:, k % 4 : k % 4 + 4]"),
    *("y[:, : k % 4 + 1].sum(1, True) + y", "(y.detach() if k > 5 else y) * y"),
    *("y.float().to(D) if k > 6 else y", "y.split(max(1, k % n))[0].mean(0) + y"),
    *("y.repeat_interleave(2, 0)[::2]", "y.repeat_interleave(n, 0)[:n]", "y[:: k % 2 + 1].sum(0) + y"),
    *("y * (0.0 if k < 6 else -0.0)", "y / torch.tensor(0.0 if k < 6 else -0.0, dtype=D)"),
    "y / torch.full((4,), 0.0 if k < 6 else -0.0, dtype=D)",
)
# What hides it where a solve starts, or wherever a comparison looks.
FACTORS = (
    *("{}", "t**2 * {}", "torch.relu(t - 0.5) * {} - y", "(t > 0.5) * {} - y", "y * 0 + t * {}"),
    *("torch.where(y > 2.5, {}, y * 0) + 4 - y", "torch.relu(t - 0.9975) * 100 * {} - y"),
)


def drawn(draw: random.Random) -> tuple[str, Any]:
    """A field, and its code."""
    number = draw.choice(NUMBERS)
    if draw.random() < 0.3:
        number = f"{number} + {draw.choice(NUMBERS)}"
    body = draw.choice(FACTORS).format(f"torch.tanh({draw.choice(USES)})")
    code = f"def field(t, y):\n    n = y.shape[0]\n    k = {number}\n    return {body}\n"
    space = dict(globals())
    exec(code, space)
    return code, space["field"]


def solved(
    solve: Callable[..., Tensor], field: Any, y0: Tensor, engine: str, verify: Verify
) -> tuple[Tensor, ...] | type:
    """The last state and the gradient of the first, or what was raised."""
    y0 = y0.clone().requires_grad_()
    arguments: dict[str, Any] = {} if solve is flashode.odeint else {"adjoint_params": ()}
    with warnings.catch_warnings(), flashode.use_engine(engine):
        warnings.simplefilter("ignore")
        try:
            last = solve(field, y0, T, method="rk4", options={"step_size": 0.25}, verify=verify, **arguments)[
                -1
            ]
            last.sum().backward()
        except Exception as error:
            return type(error)
    assert y0.grad is not None
    return last.detach(), y0.grad


@pytest.mark.parametrize("seed", range(COUNT))
def test_any_field_at_any_batch_sizes(seed: int) -> None:
    draw = random.Random(seed)
    code, field = drawn(draw)
    solve = draw.choice((flashode.odeint, flashode.odeint_adjoint))
    for size in draw.sample(SIZES, 4):
        y0 = torch.randn(size, WIDTH, dtype=D, generator=torch.Generator().manual_seed(seed + size))
        y0 = y0 * draw.choice((0.0, 1.0))
        verify = draw.choice(get_args(Verify))
        actual, expected = (solved(solve, field, y0, engine, verify) for engine in ("auto", "eager"))
        if isinstance(actual, tuple) and isinstance(expected, tuple):
            for a, b in zip(actual, expected, strict=True):
                same = torch.allclose(a, b, rtol=1e-7, atol=1e-8, equal_nan=True)
                assert same, f"{code}with a batch of {size}, {verify}: {(a - b).abs().max()}"
        else:
            assert actual is expected, f"{code}with a batch of {size}, {verify}"
