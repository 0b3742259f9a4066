"""Sorting of features: values, where gradients go, equal elements and numbers that are none."""

import pytest
import torch
from torch import Tensor

from capture.agreement import Field, captured_at, declined, must_capture, random
from capture.exactly import D, lowers, same_at, states
from flashode import odeint, use_engine
from flashode.capture.lowering.rules import sorting

TIES = torch.tensor(
    [[1, 1, 0, 2, 1], [2, 2, 2, 2, 2], [0, -0.0, 0, -0.0, 0], [3, 1, 3, 1, 3], [5, 4, 3, 2, 1]], dtype=D
)
NOT = torch.tensor(
    [[torch.nan, 1, 0, torch.nan, 1], [torch.inf, 1, -torch.inf, 1, torch.nan], [torch.nan] * 5], dtype=D
)
WEIGHT = torch.tensor([1.0, 2, 3, 4, 5], dtype=D)

SORTED: dict[str, Field] = {
    "sort": lambda t, y: y.sort(-1)[0] * WEIGHT - t,
    "descending": lambda t, y: y.sort(-1, descending=True)[0] * WEIGHT,
    "stable": lambda t, y: torch.sort(y, stable=True, dim=1).values * WEIGHT,
    "stable and descending": lambda t, y: torch.sort(y, stable=True, dim=1, descending=True)[0] * WEIGHT,
    "msort": lambda t, y: torch.msort(y.T).T * WEIGHT,
    "the second": lambda t, y: y * y.sort(-1)[0][:, 1:2],
    "numbers": lambda t, y: torch.where(y.sort(-1)[1] == 2, y, y.sin()),
    "argsort": lambda t, y: y + y.argsort(-1),
    "median": lambda t, y: y - y.sort(-1)[0][:, 2:3],
    "of time": lambda t, y: y * torch.stack([t.cos(), t, 1 - t, t * t, t.sin()]).sort()[0],
}


@pytest.mark.parametrize("name", SORTED)
def test_sorted(name: str) -> None:
    lowers(SORTED[name], random(4, 5), [TIES, random(1, 5, seed=8)])


@pytest.mark.parametrize("name", sorted(SORTED.keys() - {"the second", "median", "of time"}))
def test_numbers_that_are_none_are_last(name: str) -> None:
    same_at(SORTED[name], must_capture(SORTED[name], random(4, 5)), NOT)


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 2, 3)])
def test_along_any_dimension(shape: tuple[int, ...]) -> None:
    lowers(lambda t, y: y.sort(1)[0] * y, random(*shape))


@pytest.mark.parametrize("length", [1, 2, 3, 8, 16, 32])
def test_every_length(length: int) -> None:
    weight = torch.arange(1.0, length + 1, dtype=D)
    equal = random(6, length, seed=2).mul(2).round()
    lowers(lambda t, y: y.sort(dim=-1, stable=True)[0] * weight, random(4, length), [equal])
    if length <= 16:
        lowers(lambda t, y: y.sort(-1, descending=True)[0] * weight, random(4, length), [equal])


def test_topk_of_so_few_that_torch_keeps_their_order() -> None:
    points = [states(0.0, 1.0, -1.0, torch.nan, torch.inf), torch.zeros(2, 3, dtype=D)]
    lowers(lambda t, y: y * y.topk(1)[0], random(4, 3), points)
    lowers(lambda t, y: torch.cat([y.topk(2, largest=False)[0], y[:, :1]], 1), random(4, 3), points)


DECLINED: dict[str, tuple[Field, int, str]] = {
    "an order that torch leaves open": (lambda t, y: y.sort(-1)[0], 20, "stable=True"),
    "topk": (lambda t, y: y * y.topk(2)[0][:, :1], 8, "descending=True, stable=True)[0][..., :k]"),
    "topk in any order": (lambda t, y: y * y.topk(1, sorted=False)[0], 3, "stable=True"),
    "long rows": (lambda t, y: y.sort(dim=-1, stable=True)[0], 33, "of up to 32"),
}


@pytest.mark.parametrize("name", DECLINED)
def test_declined(name: str) -> None:
    func, length, words = DECLINED[name]
    assert words in str(captured_at(func, torch.tensor(0.3, dtype=D), random(4, length)))


def test_an_order_that_another_version_of_torch_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_keeps_order", lambda *_: False)
    assert "leaves open" in declined(lambda t, y: y.sort(-1)[0], random(4, 3))


def test_along_the_batch() -> None:
    assert not must_capture(lambda t, y: y.sort(0)[0], random(4, 3)).batched


@pytest.mark.parametrize("engine", ["native", "numba"])
def test_engines_sort(engine: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return y.sort(-1)[0] * WEIGHT - y

    start, times = torch.cat([TIES, random(4, 5)]), torch.tensor([0.0, 0.2], dtype=D)
    results = []
    for name in ("eager", engine):
        y = start.clone().requires_grad_()
        with use_engine(name):
            solution = odeint(func, y, times, method="euler")
        results.append([solution, torch.autograd.grad(solution[-1].cos().sum(), y)[0]])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-12, atol=1e-14)
