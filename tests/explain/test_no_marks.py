"""`explain`, and a solve that falls back, leave no mark on the function or on torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import FallbackWarning, explain, use_engine

Y0 = torch.linspace(-1, 1, 40).view(20, 2)


def branching(t: Tensor, y: Tensor) -> Tensor:
    if float(y.sum()) > 0:
        return -y
    return y


def test_nothing_can_be_noticed_afterwards() -> None:
    mean, variance = torch.zeros(2), torch.ones(2)

    def normalised(t: Tensor, y: Tensor) -> Tensor:
        return nn.functional.batch_norm(y, mean, variance, training=True) + torch.rand(2)

    def counting(t: Tensor, y: Tensor) -> Tensor:
        seen.append(t)
        return y

    seen: list[Tensor] = []
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for func in (normalised, counting, lambda t, y: y + torch.rand(2), branching):
            assert explain(func, Y0).engine == "eager"
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(mean, torch.zeros(2))
    assert torch.equal(variance, torch.ones(2))
    assert seen == []


class Writing(nn.Module):
    """Adds one to its buffer at every call, in a way of its own."""

    def __init__(self, write: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.register_buffer("n", torch.zeros(1))
        self.write = write

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.write(self.n)
        return -y * self.n


def into_out(n: Tensor) -> None:
    torch.add(n, 1, out=n)


def into_numpy(n: Tensor) -> None:
    n.numpy()[0] += 1


def into_dlpack(n: Tensor) -> None:
    torch.from_dlpack(n).add_(1)


@pytest.mark.parametrize("write", [into_out, into_numpy, into_dlpack])
@pytest.mark.parametrize("then_raise", [False, True], ids=["returns", "raises"])
def test_memory_is_not_written_behind_torch_s_back(
    write: Callable[[Tensor], object], then_raise: bool
) -> None:
    def written(n: Tensor) -> None:
        write(n)
        if then_raise:
            raise RuntimeError("too late")

    field = Writing(written)
    explanation = explain(field, Y0)
    assert (explanation.engine, explanation.error) == ("eager", None)
    assert float(field.n) == 0


@pytest.mark.parametrize("write", [into_out, into_numpy, into_dlpack])
def test_falling_back_does_not_change_the_solve(write: Callable[[Tensor], object]) -> None:
    solutions = []
    for engine in ("auto", "eager"):
        with use_engine(engine), warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            solutions.append(flashode.odeint(Writing(write), Y0, torch.linspace(0, 1, 3), method="euler"))
    assert torch.equal(*solutions)


def test_settings_of_torch_stay() -> None:
    def changing(change: Callable[[], object], then: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        def func(t: Tensor, y: Tensor) -> Tensor:
            change()
            return then(y)

        return func

    def raising(y: Tensor) -> Tensor:
        raise RuntimeError("no")

    def more_threads() -> None:
        torch.set_num_threads(threads + 1)

    def other_dtype() -> None:
        torch.set_default_dtype(torch.float64)

    def no_gradients() -> None:
        torch.set_grad_enabled(False)

    threads = torch.get_num_threads()
    try:
        for change in (more_threads, other_dtype, no_gradients):
            for then in (torch.neg, raising):
                assert explain(changing(change, then), Y0).engine == "eager"
                assert torch.get_num_threads() == threads
                assert torch.get_default_dtype() == torch.float32
                assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)


def test_a_field_that_raises_when_it_is_watched_runs() -> None:
    mean = torch.zeros(2)

    def shy(t: Tensor, y: Tensor) -> Tensor:
        if torch._C._len_torch_dispatch_stack():
            raise RuntimeError("not now")
        mean.add_(torch.rand(2))
        return -y

    before = torch.get_rng_state()
    explanation = explain(shy, Y0)
    assert (explanation.engine, explanation.error) == ("eager", None)
    assert torch.equal(mean, torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), before)
