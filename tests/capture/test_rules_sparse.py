"""Products with constant sparse matrices, which are held to their content."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Field, captured_at, evaluated, must_capture, random
from capture.exactly import D, lowers, same_at
from flashode import odeint, use_engine
from flashode.capture import Capture
from flashode.program import Dense, SegmentSum

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:Sparse invariant checks")
DENSE = random(5, 5, seed=1) * (random(5, 5, seed=2) > 0.3)
RECTANGLE = random(5, 3, seed=3) * (random(5, 3, seed=4) > 0.3)
TWICE = torch.sparse_coo_tensor(
    torch.tensor([[0, 0, 3, 4], [1, 1, 2, 4]]),
    torch.tensor([1.0, 2, 3, 0], dtype=D),
    (5, 5),
    check_invariants=True,
)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": Tensor.to_sparse,
    "csr": Tensor.to_sparse_csr,
}


class Graph(nn.Module):
    adjacency: Tensor

    def __init__(self, adjacency: Tensor, apply: Callable[[Tensor, Tensor], Tensor] = torch.matmul) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.apply_to = apply

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.apply_to(self.adjacency, y.sin()) - t * y


# Of nodes with features.
NODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sparse.mm": torch.sparse.mm,
    "matmul": lambda a, x: a @ x,
    "sparse.addmm": lambda a, x: torch.sparse.addmm(x, a, x, beta=0.5, alpha=2.0),
    "addmm": lambda a, x: torch.addmm(x, a, x),
    "addmm over nothing": lambda a, x: torch.addmm(torch.full_like(x, torch.nan), a, x, beta=0),
    "transposed": lambda a, x: a.t() @ x,
    "from the right": lambda a, x: (x.T @ a).T,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NODES)
def test_of_nodes(name: str, layout: str) -> None:
    func = Graph(LAYOUTS[layout](DENSE), NODES[name])
    captured = must_capture(func, random(5, 2))
    assert not captured.batched
    assert any(isinstance(op, SegmentSum) for op in captured.program.ops)
    assert not any(isinstance(op, Dense) for op in captured.program.ops)
    for state in (random(5, 2, seed=7), torch.zeros(5, 2, dtype=D)):
        _same(func, captured, state)


def _same(func: Field, captured: Capture, y: Tensor) -> None:
    results = []
    for field in (func, lambda t, y: evaluated(captured, t, y)):
        t, z = torch.tensor(0.3, dtype=D, requires_grad=True), y.clone().requires_grad_()
        value = field(t, z)
        results.append([value, *torch.autograd.grad((value * value.cos()).sum(), [t, z])])
    for eager, program in zip(*results, strict=True):
        torch.testing.assert_close(program, eager, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_trajectories(layout: str) -> None:
    adjacency, rectangle = LAYOUTS[layout](DENSE), LAYOUTS[layout](RECTANGLE)
    lowers(lambda t, y: (adjacency @ y.T).T, random(4, 5))
    lowers(lambda t, y: torch.sparse.mm(rectangle, y.T[:3]).T, random(4, 5))
    lowers(lambda t, y: y @ adjacency, random(4, 5))


def test_of_a_vector() -> None:
    func = Graph(DENSE.to_sparse(), torch.mv)
    _same(func, must_capture(func, random(5)), random(5, seed=7))


def test_elements_given_twice_and_zeros_that_are_stored() -> None:
    func = Graph(TWICE)
    captured = must_capture(func, random(5, 2))
    _same(func, captured, random(5, 2, seed=7))
    # What the matrix has no element for is no factor, be it infinite.
    y = random(5, 2, seed=7)
    y[0] = torch.inf
    y[4] = torch.nan
    t = torch.tensor(0.0, dtype=D)
    only = must_capture(lambda t, y: TWICE @ y, random(5, 2))
    torch.testing.assert_close(evaluated(only, t, y), TWICE @ y, equal_nan=True)


def test_a_mean_over_neighbours_without_weights() -> None:
    ones = (DENSE != 0).double().to_sparse()
    func = Graph(ones)
    same = must_capture(func, random(5, 2))
    _same(func, same, random(5, 2, seed=7))


def _in_place(func: Graph) -> None:
    coo = func.adjacency.layout is torch.sparse_coo
    (func.adjacency._values() if coo else func.adjacency.values()).mul_(2.0)


def _replaced(func: Graph) -> None:
    func.adjacency = (func.adjacency.to_dense() * 2).to_sparse(layout=func.adjacency.layout)


def _elsewhere(func: Graph) -> None:
    dense = func.adjacency.to_dense().roll(1, 0)
    func.adjacency = dense.to_sparse(layout=func.adjacency.layout)


def _dense(func: Graph) -> None:
    func.adjacency = func.adjacency.to_dense() * 2


def test_a_matrix_that_comes_to_be_learned() -> None:
    func, y = Graph(DENSE.to_sparse()), random(5, 2)
    must_capture(func, y)
    func.adjacency.requires_grad_()
    assert not isinstance(captured_at(func, torch.tensor(0.3, dtype=D), y), Capture)


CHANGES: list[Callable[[Graph], Any]] = [_in_place, _replaced, _elsewhere, _dense]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", CHANGES)
def test_changed_matrices(change: Callable[[Graph], Any], layout: str) -> None:
    func = Graph(LAYOUTS[layout](DENSE))
    y = random(5, 2)
    before = must_capture(func, y)
    change(func)
    after = must_capture(func, y)
    assert after.program is not before.program
    _same(func, after, y)


def test_the_same_content_is_no_change() -> None:
    func, y = Graph(DENSE.to_sparse()), random(5, 2)
    before = must_capture(func, y)
    func.adjacency = DENSE.to_sparse()
    assert must_capture(func, y).program is before.program


def test_a_matrix_changed_within_the_field() -> None:
    adjacency = DENSE.to_sparse().coalesce()

    def func(t: Tensor, y: Tensor) -> Tensor:
        adjacency.values().mul_(2.0)
        return adjacency @ y

    captured = captured_at(func, torch.tensor(0.3, dtype=D), random(5, 2))
    assert not isinstance(captured, Capture)
    torch.testing.assert_close(adjacency.to_dense(), DENSE)


def test_an_attribute_of_a_matrix() -> None:
    adjacency: Any = DENSE.to_sparse()
    adjacency.scale = 2.0
    captured = captured_at(
        lambda t, y: adjacency @ y * adjacency.scale, torch.tensor(0.3, dtype=D), random(5, 2)
    )
    assert not isinstance(captured, Capture)


DECLINED: dict[str, tuple[Callable[[], Tensor], Callable[[Tensor, Tensor], Tensor], str]] = {
    "learned": (lambda: DENSE.to_sparse().requires_grad_(), torch.sparse.mm, "layout torch.sparse_coo"),
    "scaled": (DENSE.to_sparse, lambda a, x: (a * 2) @ x, "keep it dense"),
    "another layout": (DENSE.to_sparse_csc, torch.matmul, "layout torch.sparse_csc"),
}


@pytest.mark.parametrize("name", DECLINED)
def test_declined(name: str) -> None:
    made, apply, words = DECLINED[name]
    captured = captured_at(Graph(made(), apply), torch.tensor(0.3, dtype=D), random(5, 2))
    assert words in str(captured)


@pytest.mark.parametrize("engine", ["native", "numba"])
def test_engines_run_them(engine: str) -> None:
    func = Graph(DENSE.to_sparse())
    times = torch.tensor([0.0, 0.2], dtype=D)
    results = []
    for name in ("eager", engine):
        y = random(5, 2).requires_grad_()
        with use_engine(name):
            solution = odeint(func, y, times, method="euler")
        results.append([solution, torch.autograd.grad(solution[-1].cos().sum(), y)[0]])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-12, atol=1e-14)


def test_states_of_several_graphs() -> None:
    adjacency = DENSE.to_sparse()

    def func(t: Tensor, y: Tensor) -> Tensor:
        merged = y.transpose(0, 1).reshape(5, -1)
        return (adjacency @ merged).view(5, -1, 2).transpose(0, 1)

    captured = lowers(func, random(4, 5, 2))
    same_at(func, captured, random(1, 5, 2, seed=3))

    def features_first(t: Tensor, y: Tensor) -> Tensor:
        merged = y.permute(1, 2, 0).reshape(5, -1)
        return (adjacency @ merged).view(5, 2, -1).permute(2, 0, 1)

    lowers(features_first, random(4, 5, 2))
