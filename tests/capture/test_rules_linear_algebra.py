"""Linear algebra: with matrices of parameters, and with small ones that depend on the state or on time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from capture.agreement import Field, agrees, captured_at, evaluated, must_capture, random
from capture.exactly import D, lowers, same_at
from flashode import odeint, use_engine

linalg = torch.linalg
EYE = torch.eye(3, dtype=D)
W = random(3, 3, seed=5).requires_grad_()
ONES = (1 + random(4, 3, 3, seed=6) / 9).requires_grad_()


def matrices(y: Tensor) -> Tensor:
    """Of the state, and far from singular."""
    return 0.3 * y[:, :, None] * y.sin()[:, None, :] + W + 4 * EYE


def positive(y: Tensor) -> Tensor:
    a = matrices(y)
    return a @ a.mT / 9 + EYE


def of_time(t: Tensor) -> Tensor:
    return torch.stack([t.cos(), t.sin(), t, -t.sin(), t.cos(), t * t, t, 1 - t, t.exp() + 2]).view(3, 3)


COMPUTED: dict[str, Field] = {
    "solve a vector": lambda t, y: linalg.solve(matrices(y), y),
    "solve columns": lambda t, y: linalg.solve(matrices(y), torch.stack([y, y.sin()], -1)).sum(-1),
    "solve from the right": lambda t, y: linalg.solve(matrices(y), y[:, None], left=False)[:, 0],
    "solve_ex": lambda t, y: linalg.solve_ex(matrices(y), y)[0],
    "a matrix of time": lambda t, y: linalg.solve(of_time(t), y.T).T,
    "a matrix of time from the right": lambda t, y: linalg.solve(of_time(t), y, left=False),
    "a matrix of time for each column": lambda t, y: linalg.solve(of_time(t), y[..., None])[..., 0],
    "a vector of the field's": lambda t, y: linalg.solve(matrices(y), W[0]),
    "columns of the field's": lambda t, y: linalg.solve(matrices(y), W).sum(-1),
    "inv": lambda t, y: linalg.inv(matrices(y)) @ W[0],
    "inverse": lambda t, y: torch.einsum("bij,bj->bi", matrices(y).inverse(), y),
    "inv of time": lambda t, y: y @ linalg.inv(of_time(t)),
    "inv where it is none": lambda t, y: torch.where(
        linalg.inv_ex(matrices(y))[1][:, None] == 0, linalg.inv_ex(matrices(y))[0][:, 0], y
    ),
    "negative power": lambda t, y: linalg.matrix_power(matrices(y), -2).sum(-1),
    "det": lambda t, y: y * linalg.det(matrices(y))[:, None] / 60,
    "torch.det": lambda t, y: y * torch.det(of_time(t)),
    "slogdet": lambda t, y: y * torch.stack(list(linalg.slogdet(matrices(y))), -1).sum(-1, True),
    "logdet": lambda t, y: y * torch.logdet(positive(y))[:, None],
    "logdet of a negative": lambda t, y: torch.logdet(-matrices(y))[:, None] * y,
    "cholesky": lambda t, y: linalg.cholesky(positive(y)).sum(-1),
    "cholesky from above": lambda t, y: linalg.cholesky(positive(y) + 0.1 * matrices(y), upper=True).sum(-1),
    "cholesky of what is not symmetric": lambda t, y: linalg.cholesky(matrices(y) + 3 * EYE).sum(-1),
    "cholesky of a triangle": lambda t, y: linalg.cholesky(positive(y).tril()).sum(-1),
    "solve a triangle": lambda t, y: _triangular(matrices(y), y),
    "solve a lower triangle": lambda t, y: _triangular(matrices(y), y, upper=False),
    "solve a triangle of ones": lambda t, y: _triangular(matrices(y), y, unitriangular=True),
    "solve a triangle from the right": lambda t, y: linalg.solve_triangular(
        matrices(y), y[:, None], upper=False, left=False
    )[:, 0],
    "solve a triangle of time": lambda t, y: linalg.solve_triangular(of_time(t), y.T, upper=True).T,
    "cholesky_solve": lambda t, y: _by_factor(linalg.cholesky(positive(y)), y),
    "cholesky_solve from above": lambda t, y: torch.cholesky_solve(
        y[..., None], linalg.cholesky(positive(y)).mT, upper=True
    )[..., 0],
    "cholesky_solve of no factor": lambda t, y: _by_factor(matrices(y), y),
    "cholesky_inverse": lambda t, y: torch.cholesky_inverse(linalg.cholesky(positive(y))) @ W[0],
    "matrix_exp": lambda t, y: (linalg.matrix_exp(matrices(y) / 3) @ y[..., None])[..., 0],
    "matrix_exp of time": lambda t, y: y @ linalg.matrix_exp(of_time(t) * t),
    "matrix_exp of zero": lambda t, y: y @ linalg.matrix_exp(of_time(t) * 0),
}

MASSES = (random(4, 3, 3, seed=7) + 4 * EYE).requires_grad_()


def test_a_matrix_of_the_fields_for_each_trajectory() -> None:
    captured = must_capture(lambda t, y: linalg.solve(MASSES, y), random(4, 3))
    assert captured.batched
    assert len(captured.carried) == 1
    agrees(lambda t, y: linalg.solve(MASSES, y), captured, random(4, 3), [MASSES])


@pytest.mark.parametrize("name", ["solve a vector", "inv", "slogdet", "cholesky", "matrix_exp"])
def test_in_single_precision(name: str) -> None:
    weight = W.detach().float()

    def func(t: Tensor, y: Tensor) -> Tensor:
        a = 0.3 * y[:, :, None] * y.sin()[:, None, :] + weight + 4 * EYE.float()
        b = a @ a.mT / 9 + EYE.float()
        results = {
            "solve a vector": lambda: linalg.solve(a, y),
            "inv": lambda: linalg.inv(a).sum(-1),
            "slogdet": lambda: y * linalg.slogdet(a)[1][:, None],
            "cholesky": lambda: linalg.cholesky(b).sum(-1),
            "matrix_exp": lambda: linalg.matrix_exp(a / 3).sum(-1),
        }
        return results[name]()

    y = random(4, 3).float()
    captured = must_capture(func, y)
    t = torch.tensor(0.3)
    torch.testing.assert_close(evaluated(captured, t, y), func(t, y), rtol=1e-5, atol=1e-6)


OF_PARAMETERS: dict[str, Field] = {
    "columns": lambda t, y: linalg.solve(W, y[..., None])[..., 0],
    "rows": lambda t, y: linalg.solve(W, y.T).T,
    "from the right": lambda t, y: linalg.solve(W, y, left=False),
    "of each node": lambda t, y: linalg.solve(
        ONES, torch.stack([y, y.sin(), y.cos(), y * y], 1)[..., None]
    ).sum((1, 3)),
    "inv": lambda t, y: y @ linalg.inv(W),
    "triangular": lambda t, y: linalg.solve_triangular(W, y[..., None], upper=True)[..., 0],
    "lower": lambda t, y: linalg.solve_triangular(W, y.T, upper=False, unitriangular=True).T,
    "triangular from the right": lambda t, y: linalg.solve_triangular(W, y, upper=True, left=False),
    "cholesky_solve": lambda t, y: _by_factor(linalg.cholesky(W @ W.mT + EYE), y),
    "cholesky_solve of no factor": lambda t, y: _by_factor(W, y),
    "cholesky_solve of a triangle": lambda t, y: _by_factor(W.tril(), y),
    "lu_solve": lambda t, y: linalg.lu_solve(*linalg.lu_factor(W), y.T).T,
    "lu_solve from the right": lambda t, y: linalg.lu_solve(
        *linalg.lu_factor(W), y, left=False, adjoint=True
    ),
    "pinv": lambda t, y: y @ linalg.pinv(W),
    "matrix_exp": lambda t, y: y @ linalg.matrix_exp(W),
}


def _triangular(a: Tensor, y: Tensor, upper: bool = True, unitriangular: bool = False) -> Tensor:
    x: Tensor = linalg.solve_triangular(a, y[..., None], upper=upper, unitriangular=unitriangular)
    return x[..., 0]


def _by_factor(factor: Tensor, y: Tensor) -> Tensor:
    return torch.cholesky_solve(y[..., None], factor)[..., 0]


@pytest.mark.parametrize("name", COMPUTED)
def test_of_computed_matrices(name: str) -> None:
    lowers(COMPUTED[name], random(4, 3), [random(1, 3, seed=8)], [W], rtol=1e-9)


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_of_parameters(name: str) -> None:
    lowers(OF_PARAMETERS[name], random(4, 3), [random(1, 3, seed=8)], [W, ONES], rtol=1e-9)


@pytest.mark.parametrize("name", ["solve a vector", "inv", "slogdet", "cholesky", "solve a triangle"])
def test_derivatives_inside_a_field(name: str) -> None:
    def slope(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            energy = (COMPUTED[name](t, y) * y.cos()).sum()
            return torch.autograd.grad(energy, y, create_graph=True)[0]

    lowers(slope, random(4, 3), (), [W], rtol=1e-8)


FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "inv": lambda x: linalg.inv(matrices(x)).sum(-1),
    "cholesky": lambda x: linalg.cholesky(positive(x)).sum(-1),
    "triangular": lambda x: _triangular(matrices(x), x),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_derivatives_inside_a_field(name: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.func.jvp(FORWARD[name], (y,), (y.cos() * (1 + t),))[1]

    lowers(func, random(4, 3), (), [W], rtol=1e-8)


SPREAD: dict[str, Callable[[Tensor], Tensor]] = {
    "solve": lambda x: linalg.solve(W + torch.outer(x, x.sin()) / 9, x),
    "solve with parameters": lambda x: linalg.solve(W, x),
    "det": lambda x: x * linalg.det(W + torch.outer(x, x.sin())),
    "jacobian": lambda x: torch.func.jacrev(lambda x: linalg.solve(W + torch.outer(x, x), x))(x).sum(-1),
}


@pytest.mark.parametrize("name", SPREAD)
def test_spread_by_vmap(name: str) -> None:
    captured = must_capture(lambda t, y: torch.vmap(SPREAD[name])(y), random(4, 3))
    agrees(lambda t, y: torch.vmap(SPREAD[name])(y), captured, random(4, 3), [W], rtol=1e-8)
    if name == "solve with parameters":
        assert any(step.name == "inv" for step in captured.prologue.steps)


# A field of square matrices in the state, with factors of them.
SQUARE: dict[str, Callable[[Tensor], Tensor]] = {
    "solve": lambda x: linalg.solve(x, x.sin()),
    "inv": lambda x: linalg.inv(x),
    "det": lambda x: x.cos() * linalg.det(x)[..., None, None],
    "slogdet": lambda x: x.cos() * linalg.slogdet(x)[1][..., None, None],
    "matrix_exp": lambda x: linalg.matrix_exp(x / 4),
}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", SQUARE)
def test_every_size(name: str, size: int) -> None:
    # Random ones need rows exchanged, at every column.
    y = random(6, size, size, seed=size)
    captured = must_capture(lambda t, y: SQUARE[name](y), y)
    conditions = linalg.cond(y)
    same_at(lambda t, y: SQUARE[name](y), captured, y[conditions < 1e3], rtol=1e-9)


def permuted(*order: int) -> Tensor:
    return torch.eye(len(order), dtype=D)[list(order)]


@pytest.mark.parametrize("name", sorted(SQUARE.keys() - {"matrix_exp"}))
def test_zeros_on_the_diagonal(name: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return SQUARE[name](y)

    captured = must_capture(func, random(4, 3, 3))
    cycle = torch.tensor([[0.0, 2, 0], [0, 0, 3], [5, 0, 0]], dtype=D)
    late = torch.tensor([[1.0, 2, 3], [2, 4, 1], [1, 5, 1]], dtype=D)  # a zero after one step
    swapped = torch.tensor([[0.0, 1, 2], [1, 0, 3], [4, -3, 8]], dtype=D)
    states = [cycle, late, swapped, permuted(2, 0, 1), permuted(1, 0, 2), -permuted(0, 2, 1)]
    same_at(func, captured, torch.stack(states), rtol=1e-11)
    for state in states:  # a batch of one
        same_at(func, captured, state[None], rtol=1e-11)


def test_determinants_of_singular_matrices() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return y.cos() * linalg.det(y)[..., None, None]

    captured = must_capture(func, random(4, 3, 3))
    early = torch.tensor([[0.0, 1, 2], [0, 3, 4], [0, 5, 6]], dtype=D)
    last = torch.tensor([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]], dtype=D)
    rank_one = torch.tensor([[1.0, 2, 4], [2, 4, 8], [4, 8, 16]], dtype=D)
    states = torch.stack([early, last, last.T, rank_one, torch.zeros(3, 3, dtype=D)])
    z = states.clone().requires_grad_()
    value = evaluated(captured, torch.tensor(0.3, dtype=D), z)
    assert not value.detach().any()
    # The adjugate, which torch's own derivative approximates there.
    (gradient,) = torch.autograd.grad(value.sum(), z)
    minors = torch.zeros_like(states)
    for i in range(3):
        for j in range(3):
            rows, columns = ([k for k in range(3) if k != skipped] for skipped in (i, j))
            minors[:, i, j] = (-1) ** (i + j) * linalg.det(states[:, rows][:, :, columns])
    torch.testing.assert_close(gradient, states.cos().sum((1, 2), keepdim=True) * minors)


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("of", ["parameters", "the state"])
def test_badly_conditioned_equations(condition: float, of: str) -> None:
    size = 6
    left, _ = linalg.qr(random(size, size, seed=1))
    right, _ = linalg.qr(random(size, size, seed=2))
    weight = (left * torch.logspace(0, -torch.tensor(condition).log10(), size, dtype=D)) @ right
    weight.requires_grad_()

    def func(t: Tensor, y: Tensor) -> Tensor:
        a = weight if of == "parameters" else weight + 0 * y[:, :1, None]
        return linalg.solve(a, y[..., None])[..., 0]

    # Right-hand sides of solutions of size one: here a product with the inverse is worst.
    y = random(5, size) @ weight.detach().T
    captured = must_capture(func, y)
    cotangent = random(5, size, seed=3) @ weight.detach()
    results = []
    for field in (func, lambda t, y: evaluated(captured, t, y)):
        z = y.clone().requires_grad_()
        value = field(torch.tensor(0.3, dtype=D), z)
        results.append([value, *torch.autograd.grad((value * cotangent).sum(), [z, weight])])
    for eager, program in zip(*results, strict=True):
        error = (program - eager).norm() / eager.norm()
        assert error < 2e-15 * condition * 10


def test_large_matrices_of_parameters() -> None:
    weight = (random(20, 20, seed=1) + 5 * torch.eye(20, dtype=D)).requires_grad_()
    lowers(lambda t, y: linalg.solve(weight, y[..., None])[..., 0], random(4, 20), (), [weight], rtol=1e-9)


def test_a_matrix_is_inverted_once() -> None:
    captured = lowers(
        lambda t, y: linalg.solve(W, y.T).T + linalg.solve(W, y.sin().T).T, random(4, 3), (), [W], rtol=1e-9
    )
    assert sum(step.name == "inv" for step in captured.prologue.steps) == 1


NOT_NUMBERS: dict[str, tuple[Field, Tensor]] = {
    "solve": (lambda t, y: linalg.solve(y, y.sin()).tanh(), torch.ones(3, 3, dtype=D)),
    "inv": (lambda t, y: linalg.inv(y).tanh(), torch.zeros(3, 3, dtype=D)),
    "cholesky": (lambda t, y: linalg.cholesky(y @ y.mT - 2 * EYE).tanh(), torch.zeros(3, 3, dtype=D)),
    "hidden": (lambda t, y: torch.nan_to_num(linalg.inv(y)), torch.ones(3, 3, dtype=D)),
    "checked": (lambda t, y: linalg.inv_ex(y, check_errors=True)[0].tanh(), torch.ones(3, 3, dtype=D)),
    "checked factor": (
        lambda t, y: linalg.cholesky_ex(y @ y.mT - 2 * EYE, check_errors=True)[0].tanh(),
        torch.zeros(3, 3, dtype=D),
    ),
    "unread": (lambda t, y: y + linalg.inv(y) * 0, torch.ones(3, 3, dtype=D)),
}


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_where_torch_raises_there_are_no_numbers(name: str) -> None:
    func, state = NOT_NUMBERS[name]
    good = 3 * torch.eye(3, dtype=D).expand(2, 3, 3) + 0.1 * random(2, 3, 3)
    captured = must_capture(func, good)
    t = torch.tensor(0.3, dtype=D)
    with pytest.raises(linalg.LinAlgError):
        func(t, state[None])
    rates = evaluated(captured, t, torch.cat([good, state[None]]))
    torch.testing.assert_close(rates[:2], func(t, good))
    assert rates[2].isnan().all()


def test_numbers_that_are_none_stay_none() -> None:
    for name, func in SQUARE.items():
        captured = must_capture(lambda t, y, func=func: func(y), random(4, 3, 3))
        for place in range(9):
            y = random(1, 3, 3)
            y.view(-1)[place] = torch.nan
            rates = evaluated(captured, torch.tensor(0.3, dtype=D), y)
            assert rates.isnan().any(), name


def test_the_exponential_over_many_scales() -> None:
    captured = must_capture(lambda t, y: linalg.matrix_exp(y), random(4, 3, 3))
    turn = random(3, 3, seed=1)
    turn = turn - turn.T
    decay = -torch.diag(torch.tensor([1.0, 2, 3], dtype=D)) + torch.triu(random(3, 3, seed=2), 1)
    for size in (0.0, 1e-300, 1e-9, 0.3, 1.0, 2.0, 17.0, 100.0, 300.0):
        for matrix in (turn, decay):
            same_at(lambda t, y: linalg.matrix_exp(y), captured, size * matrix[None], rtol=1e-11 * (1 + size))
    for size in (1e4, 1e300, torch.inf):
        rates = evaluated(captured, torch.tensor(0.3, dtype=D), size * turn[None] + 0)
        assert rates.isnan().all()


DECLINED: dict[str, tuple[Field, tuple[int, ...], str]] = {
    "large solve": (lambda t, y: linalg.solve(y, y), (2, 9, 9), "linalg.solve of 9x9 matrices that depend"),
    "large det": (lambda t, y: y * linalg.det(y)[:, None, None], (2, 9, 9), "up to 8x8"),
    "large exponential": (lambda t, y: linalg.matrix_exp(y), (2, 17, 17), "up to 16x16"),
    # Torch takes the factors, through which no gradient flows.
    "forward derivative": (
        lambda t, y: torch.func.jvp(lambda x: linalg.solve(x, y), (y,), (y.cos(),))[1],
        (2, 3, 3),
        "secondary result",
    ),
    "pinv": (lambda t, y: linalg.pinv(y), (2, 3, 3), "torch.linalg.solve"),
    "lu": (lambda t, y: linalg.lu_factor(y)[0], (2, 3, 3), "torch.linalg.solve"),
}


@pytest.mark.parametrize("name", DECLINED)
def test_declines_say_what_to_write(name: str) -> None:
    func, shape, reason = DECLINED[name]
    captured = captured_at(func, torch.tensor(0.3, dtype=D), random(*shape))
    assert reason in str(captured)


def test_matrices_over_the_batch_are_one_trajectory() -> None:
    captured = must_capture(lambda t, y: linalg.solve(y + 3 * EYE, y), random(3, 3))
    assert not captured.batched


IN_ENGINES = {
    "native": ["solve a vector", "inv", "slogdet", "cholesky", "solve a triangle", "matrix_exp"],
    "numba": ["solve a vector"],
}


@pytest.mark.parametrize("engine", IN_ENGINES)
def test_engines_run_them(engine: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return sum(COMPUTED[name](t, y) for name in IN_ENGINES[engine]) / 20 + OF_PARAMETERS["rows"](t, y)

    times = torch.tensor([0.0, 0.2], dtype=D)
    results = []
    for name in ("eager", engine):
        y = random(5, 3).requires_grad_()
        with use_engine(name):
            solution = odeint(func, y, times, method="rk4", options={"step_size": 0.1})
        results.append([solution, *torch.autograd.grad(solution[-1].cos().sum(), [y, W])])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-9, atol=1e-12)


def test_a_solve_that_meets_a_singular_matrix_fails_as_torch_does() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(linalg.solve(EYE * (t - 0.5) + 0 * y[:, :1, None], y))

    times = torch.tensor([0.0, 1.0], dtype=D)
    with use_engine("native"), pytest.raises(linalg.LinAlgError, match="singular"):
        odeint(func, random(4, 3), times, method="rk4", options={"step_size": 0.25})
