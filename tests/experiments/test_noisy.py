"""The noisy spiral: its observations, what they tell, and who learns it."""

import math

import pytest
import torch

import flashode
from flashode.experiments import noisy, spiral


def test_noise_has_the_deviation_asked_for() -> None:
    observations = spiral.observe(noisy.setting_of(0.3), seed=1)
    noise = observations.states - observations.truth
    assert float(noise.std()) == pytest.approx(0.3, rel=0.15)
    assert torch.equal(observations.states, spiral.observe(noisy.setting_of(0.3), seed=1).states)
    assert not torch.equal(observations.states, spiral.observe(noisy.setting_of(0.3), seed=2).states)
    silent = spiral.observe(noisy.setting_of(0.0))
    assert torch.equal(silent.states, silent.truth)


def test_information_is_that_of_least_squares() -> None:
    """The bound is what least squares attain under little noise, over many draws."""
    information = noisy.information(5.0, 20)
    assert bool((information.bounds[5:].diff() <= 1e-12).all())
    assert math.isinf(float(information.bounds[0]))
    assert information.condition > 1.0
    times, start = information.times, torch.tensor(spiral.START, dtype=torch.float64)

    def states(entries: torch.Tensor) -> torch.Tensor:
        return (torch.matrix_exp(entries.reshape(2, 2) * times[:, None, None]) @ start).reshape(-1)

    truth = noisy.SETTING.truth.reshape(-1)
    jacobian = torch.autograd.functional.jacobian(states, truth)
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, len(jacobian), dtype=torch.float64, generator=random)
    errors = noise @ torch.linalg.pinv(jacobian).mT
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(information.bounds[-1]), rel=0.05)


def test_late_observations_tell_nothing() -> None:
    information = noisy.information()
    assert float(information.each[20:].square().sum()) < 0.05 * float(information.each.square().sum())


@pytest.mark.parametrize("field", list(noisy.FIELDS))
def test_fields_train(field: str) -> None:
    setting = noisy.setting_of(0.01, 0.01)
    with flashode.use_engine("native"):
        run = list(
            spiral.train(
                noisy.begin(field, setting, 0),
                spiral.observe(setting, 0),
                epochs=2,
                solve=flashode.odeint,
                setting=setting,
            )
        )
    assert len(run) == 3
    assert run[-1].loss < 0.5 * run[0].loss
    assert (run[-1].matrix is None) == (field != "2×2 layer")


def test_the_layer_arrives_where_adam_can_reach() -> None:
    with flashode.use_engine("native"):
        trial = noisy.trial("2×2 layer", 0.01, 0, noise=noisy.NOISE, epochs=noisy.EPOCHS)
    assert trial.arrived
