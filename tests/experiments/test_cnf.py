"""The normalizing flow: densities are densities, and training finds the data."""

import pytest
import torch

import flashode
from flashode.experiments import cnf

REACH, PIXELS = 4.0, 200


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    along = torch.linspace(-REACH, REACH, PIXELS)
    return torch.cartesian_prod(along, along)


def _mass(log_density: torch.Tensor) -> float:
    return float(log_density.double().exp().sum()) * (2.0 * REACH / (PIXELS - 1)) ** 2


def test_densities_integrate_to_one(pixels: torch.Tensor) -> None:
    assert _mass(cnf.true_log_density(pixels)) == pytest.approx(1.0, abs=5e-3)
    density = cnf.make_density(3)
    with torch.no_grad(), flashode.use_engine("native"):
        # Far enough from the normal one to tell.
        for parameter in density.parameters():
            parameter.mul_(1.5)
        learned = density.log_density(pixels)
        halfway = density.log_density(pixels, 0.5)
    assert not torch.allclose(learned, cnf.log_normal(pixels), atol=0.1)
    assert not torch.allclose(halfway, learned, atol=0.1)
    assert _mass(learned) == pytest.approx(1.0, abs=2e-2)
    assert _mass(halfway) == pytest.approx(1.0, abs=2e-2)
    assert torch.equal(density.log_density(pixels, 0.0), cnf.log_normal(pixels))


def test_what_is_held_out_is_not_trained_on() -> None:
    trained = cnf.draw(cnf.HELD_OUT_POINTS, torch.Generator().manual_seed(5))
    assert not torch.isclose(trained, cnf.held_out(5)).all(-1).any()


def test_the_data_has_the_true_density() -> None:
    points = cnf.draw(20000, torch.Generator().manual_seed(0))
    radius = points.norm(dim=1)
    near = [float(((radius - r).abs() < 4 * cnf.THICKNESS).float().mean()) for r in cnf.RADII]
    assert near == [pytest.approx(0.5, abs=0.02)] * 2
    # Its mean is minus the entropy: those of the circle, of the normal, and of the choice.
    angles = sum(torch.tensor(2 * torch.pi * r).log() for r in cnf.RADII) / 2
    thick = 0.5 + torch.tensor(cnf.THICKNESS * (2 * torch.pi) ** 0.5).log()
    entropy = angles + thick + torch.tensor(2.0).log()
    assert float(cnf.true_log_density(points).mean()) == pytest.approx(-float(entropy), abs=0.02)


def test_training_raises_the_likelihood_of_points_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cnf, "UPDATES_PER_EPOCH", 40)
    training = cnf.begin(0)
    with flashode.use_engine("native"):
        history = list(cnf.train(training, cnf.held_out(0), epochs=2))
    assert [epoch.number for epoch in history] == [0, 1, 2]
    assert history[-1].log_likelihood > history[0].log_likelihood + 0.1
    sample = training.model.sample(10, torch.Generator().manual_seed(0), cnf.PANEL_TIMES)
    assert sample.shape == (len(cnf.PANEL_TIMES), 10, 2)


def test_flowing_back_and_forth_leads_home() -> None:
    density = cnf.make_density(0)
    random = torch.Generator().manual_seed(0)
    with flashode.use_engine("native"):
        start, end = density.sample(50, random)
        back = flashode.odeint(density.velocity, end, torch.tensor([1.0, 0.0]), rtol=1e-6, atol=1e-6)[-1]
    torch.testing.assert_close(back, start, rtol=1e-3, atol=1e-3)
