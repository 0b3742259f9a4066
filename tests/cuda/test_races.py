"""No result depends on the order in which threads run; where a barrier is missing, one does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import Host
from cuda.solving import Edited, cuda_on, everything
from flashode.program import Binary, Dense, DenseDynamic, Gather, Parameter, Program, Unary, Y
from handmade import capture_of

BARRIER = "sync_block();"
T = torch.tensor([0.0, 0.4, 0.7], dtype=torch.float64)
ORDERS = (0, 1, 7)


def solve(host: Host, order: int, method: str, dtype: torch.dtype = torch.float64) -> Tensor:
    # So many that no operation has an element for each thread alone: then none would wait for another.
    field, y0 = everything(dtype, batch=40)
    host.order = order
    with torch.no_grad(), cuda_on(host):
        return flashode.odeint(field, y0, T, rtol=1e-5, atol=1e-6, method=method)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("method", ["dopri5", "rk4", "bosh3"])
def test_every_order_gives_the_same_bits(method: str, dtype: torch.dtype) -> None:
    host = Host()
    first, *others = (solve(host, order, method, dtype) for order in ORDERS)
    assert first.isfinite().all()
    for other in others:
        assert torch.equal(first, other)


@pytest.mark.parametrize("face", [flashode.odeint, flashode.odeint_adjoint], ids=["discrete", "continuous"])
def test_every_order_gives_the_same_gradients(face: Callable[..., Tensor]) -> None:
    host = Host()
    gradients = []
    for host.order in ORDERS:
        field, y0 = everything()
        y0.requires_grad_()
        with cuda_on(host):
            states = face(field, y0, T, method="rk4")
            loss = (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum()
            gradients.append(torch.autograd.grad(loss, [y0, *field.parameters()]))
    first, *others = gradients
    assert all(bool(part.isfinite().all()) and bool(part.any()) for part in first)
    for other in others:
        assert all(map(torch.equal, first, other))


# Of its vjp: the gradient in the parameter's rows, which all trajectories share, stands where that in rows of
# each trajectory has stood, which is as large.
SHARED_AFTER_ROWS = Program(
    widths=(1, 4, 0, 16, 2, 2, 4, 2, 2, 4),
    ops=(
        Parameter(3, 0),
        Gather(4, (Y,), (0, 1)),
        Gather(5, (Y,), (2, 3)),
        DenseDynamic(6, Y, 3, 1, 1),
        Binary(7, 4, 4, "mul"),
        Dense(8, 5, 1, None, 1),
        Gather(9, (6, 7, 8), (0, 4, 6, 5)),
    ),
    output=9,
    parameter_shapes=((16,), (2, 2)),
    shared=1,
)


def gradients_of(program: Program, host: Host) -> tuple[Tensor, ...]:
    """In a state of four rows and in the parameters."""
    generator = torch.Generator().manual_seed(0)
    shapes = (10, 4), *program.parameter_shapes
    y0, *parameters = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in shapes
    )
    capture = capture_of(program, parameters)
    with cuda_on(host), pytest.MonkeyPatch.context() as patch:
        patch.setattr("flashode.engines.compiled.engine.capture", lambda *_, **__: capture)
        states = flashode.odeint(lambda t, y: y, y0, T, method="rk4")
    weights = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).view_as(states)
    return torch.autograd.grad((states * weights).sum(), [y0, *parameters])


def test_threads_share_rows_otherwise_than_what_is_the_same_for_all() -> None:
    host = Host()
    first, *others = (gradients_of(SHARED_AFTER_ROWS, host) for host.order in (*ORDERS, 13))
    for other in others:
        assert all(map(torch.equal, first, other))


def without(which: int) -> Callable[[str], str]:
    """Takes one of its barriers out of a text."""

    def edit(text: str) -> str:
        place = [match.start() for match in re.finditer(re.escape(BARRIER), text)][which]
        return text[:place] + text[place + len(BARRIER) :]

    return edit


def is_found(host: Host, expected: Tensor) -> bool:
    """Whether any order gives anything else."""
    # By steps that nothing chooses: threads that disagree about a norm might go on for ever.
    for order in ORDERS:
        try:
            if not torch.equal(solve(host, order, "rk4"), expected):
                return True
        except (RuntimeError, flashode.SolverError):
            return True
    return False


def test_each_barrier_of_an_evaluation_is_needed() -> None:
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    expected = solve(Edited(note), 0, "rk4")
    count = texts[0].count(BARRIER)
    assert count > 5
    assert [which for which in range(count) if not is_found(Edited(without(which)), expected)] == []


# Of each kind of access in a vjp: rows that move, elements, products, and sums over lanes.
REVERSED = Program(
    widths=(1, 4, 0, 4, 4, 4, 4, 4),
    ops=(
        Dense(3, Y, 0, 1, 1),
        Unary(4, 3, "tanh"),
        Gather(5, (4,), (1, 0, 3, 2)),
        Binary(6, 5, 4, "mul"),
        Gather(7, (6,), (2, 3, 0, 1)),
    ),
    output=7,
    parameter_shapes=((4, 4), (4,)),
    shared=0,
)


def test_each_barrier_of_a_vjp_is_needed() -> None:
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    expected = gradients_of(REVERSED, Edited(note))
    before, _, vjp = texts[1].partition("static void vjp(")
    first, count = before.count(BARRIER), vjp.count(BARRIER)
    assert count > 4

    def is_needed(which: int) -> bool:
        edit = without(which)
        host = Edited(lambda text: edit(text) if "static void vjp(" in text else text)
        return any(not all(map(torch.equal, gradients_of(REVERSED, host), expected)) for host.order in ORDERS)

    assert [which for which in range(count) if not is_needed(first + which)] == []
