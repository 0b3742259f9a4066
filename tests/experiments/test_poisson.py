"""Poisson's equation: the reference, the Laplacian of the model, and that it learns what was published."""

import statistics

import pytest
import torch

import flashode
from flashode.experiments import poisson


def test_the_reference_solves_the_equation() -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    coarse, fine = poisson.reference(2), poisson.reference(4)
    finest = poisson.reference(8)
    assert finest.shape == (poisson.SHOWN, poisson.SHOWN)
    for edge in (finest[0], finest[-1], finest[:, 0], finest[:, -1]):
        assert torch.count_nonzero(edge) == 0
    # Of second order: what halving the cells changes falls to a quarter.
    ratio = (coarse - fine).norm() / (fine - finest).norm()
    assert 3.8 < float(ratio) < 4.2
    # The equation itself, away from the corner (1, 1), where the charge does not fit the boundary.
    cell = 1.0 / (poisson.SHOWN - 1)
    inside = finest[1:-1, 1:-1]
    neighbours = finest[2:, 1:-1] + finest[:-2, 1:-1] + finest[1:-1, 2:] + finest[1:-1, :-2]
    along = torch.linspace(0.0, 1.0, poisson.SHOWN, dtype=torch.float64)[1:-1]
    charge = poisson.charge(torch.cartesian_prod(along, along)).reshape(inside.shape)
    far = slice(0, 24)
    laplacian = (neighbours - 4.0 * inside) / cell**2
    torch.testing.assert_close(laplacian[far, far], charge[far, far], rtol=0.0, atol=5e-3)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("engine", ["native", "eager"])
def test_the_laplacian_is_that_of_nested_autograd(engine: str, held: bool) -> None:
    potential = poisson.make_potential(0, torch.float64, held=held)
    at = poisson.Collocation.of(torch.float64).inside[::10].clone().requires_grad_()
    with flashode.use_engine(engine):
        actual = potential.laplacian(at.detach())
    with flashode.use_engine("eager"):
        (gradient,) = torch.autograd.grad(potential(at).sum(), at, create_graph=True)
        second = [torch.autograd.grad(gradient[:, k].sum(), at, retain_graph=True)[0][:, k] for k in range(2)]
    torch.testing.assert_close(actual, second[0] + second[1], rtol=1e-10, atol=1e-10)


def test_points_are_inside_and_on_all_four_edges() -> None:
    at = poisson.Collocation.of(torch.float32)
    assert at.inside.shape == (poisson.INSIDE**2, 2)
    assert float(at.inside.min()) > 0.0
    assert float(at.inside.max()) < 1.0
    x, y = at.boundary.T
    for edge in (x == 0.0, x == 1.0, y == 0.0, y == 1.0):
        assert int(edge.sum()) >= poisson.EDGE
    assert bool(((x == 0.0) | (x == 1.0) | (y == 0.0) | (y == 1.0)).all())
    assert len(torch.unique(at.boundary, dim=0)) == 4 * poisson.EDGE


def test_sixty_steps_reach_what_was_published() -> None:
    ends = []
    with flashode.use_engine("native"):
        for seed in poisson.SEEDS:
            *_, last = poisson.train_as_published(poisson.make_potential(seed))
            ends.append(last)
    assert {end.number for end in ends} == {poisson.PUBLISHED_STEPS}
    assert statistics.median(end.boundary for end in ends) < poisson.PUBLISHED_BOUNDARY
    assert statistics.median(end.residual for end in ends) < poisson.PUBLISHED_RESIDUAL


def test_the_best_recipe_finds_the_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    # A quarter of it, in a quarter of the time.
    monkeypatch.setattr(poisson, "STEPS_PER_EPOCH", poisson.STEPS_PER_EPOCH // 4)
    training = poisson.begin_best(0)
    potential = training.model
    with flashode.use_engine("native"):
        history = [loss for epoch in poisson.train_best(training, epochs=poisson.EPOCHS) for loss in epoch]
    assert history[-1] < 1e-2 * history[0]
    assert poisson.boundary(potential, poisson.Collocation.of(torch.float64)).item() == 0.0
    assert poisson.relative_error(poisson.shown(potential), poisson.reference()) < 0.01
