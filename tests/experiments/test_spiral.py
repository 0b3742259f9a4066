"""The spiral experiment: its data, and that it learns the dynamics for every seed."""

import pytest
import torch

import flashode
from flashode.experiments import spiral

SOLVES = {"discrete": flashode.odeint, "continuous": flashode.odeint_adjoint}


@pytest.fixture(scope="module")
def observations() -> spiral.Observations:
    return spiral.observe()


def run(
    observations: spiral.Observations, *, seed: int, epochs: int, mode: str = "discrete"
) -> list[spiral.Epoch]:
    return list(spiral.train(spiral.begin(seed), observations, epochs=epochs, solve=SOLVES[mode]))


def test_observations_are_the_exact_solution(observations: spiral.Observations) -> None:
    times = torch.linspace(0.0, 25.0, 100, dtype=torch.float64)
    matrix = spiral.PLAIN.truth
    exact = torch.matrix_exp(matrix * times[:, None, None]) @ torch.ones(2, dtype=torch.float64)
    # half a unit in the last place of float32 below 2, and what the solve to ten digits may add
    torch.testing.assert_close(observations.states.double(), exact, rtol=0, atol=2**-24 + 1e-8)
    torch.testing.assert_close(observations.times.double(), times, rtol=2**-24, atol=0)
    assert torch.equal(observations.truth, observations.states)
    fine = observations.fine_times.double()
    curve = torch.matrix_exp(matrix * fine[:, None, None]) @ torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(observations.curve.double(), curve, rtol=0, atol=1e-5)


def test_same_seed_same_field_and_the_global_stream_is_untouched() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second, other = spiral.make_field(0), spiral.make_field(0), spiral.make_field(1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)


@pytest.mark.parametrize("seed", range(10))
def test_every_seed_learns_the_dynamics(observations: spiral.Observations, seed: int) -> None:
    with flashode.use_engine("native"):
        history = run(observations, seed=seed, epochs=30)
    assert [epoch.number for epoch in history] == list(range(31))
    assert history[15].loss < 1e-3
    assert spiral.distance_to_truth(history[30].matrix) < 1e-3


def test_adjoint_learns_the_dynamics_too(observations: spiral.Observations) -> None:
    with flashode.use_engine("native"):
        history = run(observations, seed=0, epochs=15, mode="continuous")
    assert history[15].loss < 1e-3


@pytest.mark.parametrize("mode", SOLVES)
def test_engines_train_alike(observations: spiral.Observations, mode: str) -> None:
    learned = {}
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            learned[engine] = run(observations, seed=3, epochs=1, mode=mode)[-1].matrix
    # Adam divides by the gradient's size: eight updates magnify float32 rounding, some hundred times at most.
    torch.testing.assert_close(learned["native"], learned["eager"], rtol=0, atol=1e-4)


def test_updates_are_counted_and_evaluations_too(observations: spiral.Observations) -> None:
    training, losses = spiral.begin(0), []
    with flashode.use_engine("native"):
        for _ in spiral.train(
            training, observations, epochs=2, solve=flashode.odeint, on_update=losses.append
        ):
            pass
    assert len(losses) == 2 * spiral.PLAIN.updates_per_epoch
    # Each of 16 updates and three predictions begins with two evaluations and takes a dopri5 step of six.
    assert training.model.nfe >= 19 * 8
