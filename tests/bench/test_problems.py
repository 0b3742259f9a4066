"""The problems of the work–precision diagrams are those of the literature: solved exactly, and by SciPy."""

import math

import numpy as np
import pytest
import torch

from flashode.bench.studies.precision import true_states
from flashode.bench.tasks.problems import END, NEURAL, PROBLEMS

integrate = pytest.importorskip("scipy.integrate")
special = pytest.importorskip("scipy.special")

TEXTBOOK = sorted(set(PROBLEMS) - set(NEURAL))


def _kepler(t: float, eccentricity: float) -> list[float]:
    anomaly = t
    for _ in range(50):
        anomaly -= (anomaly - eccentricity * math.sin(anomaly) - t) / (1 - eccentricity * math.cos(anomaly))
    cosine, sine, root = math.cos(anomaly), math.sin(anomaly), math.sqrt(1 - eccentricity**2)
    rate = 1 / (1 - eccentricity * cosine)
    return [cosine - eccentricity, root * sine, -sine * rate, root * cosine * rate]


def _bessel(x: float) -> list[float]:
    value, slope = special.jv(0.5, x), special.jvp(0.5, x)
    return [value, slope]


def _decays(t: float) -> list[float]:
    shares = [math.exp(-t) * t**k / math.factorial(k) for k in range(9)]
    return [*shares, 1 - math.fsum(shares)]


# Solutions at the end, in closed form.
EXACT = {
    "A3": lambda: [math.exp(math.sin(END))],
    "B5": lambda: list(special.ellipj(END, 0.51)[:3]),
    "C1": lambda: _decays(END),
    "D3": lambda: _kepler(END, 0.5),
    "E1": lambda: _bessel(END + 1),
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_the_truth_is_the_solution_in_closed_form(name):
    right = np.array(EXACT[name]())
    error = np.abs(true_states(PROBLEMS[name]).states[-1] - right).max() / np.abs(right).max()
    # Below the tightest tolerance of a diagram, so that it shows errors and not the reference.
    assert error < 1e-11


@pytest.mark.parametrize("name", TEXTBOOK)
def test_the_module_and_the_array_function_have_the_solution_of_scipy(name):
    problem = PROBLEMS[name]
    _, start, times = problem.make()
    arrays = problem.field.arrays(np)
    control = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
    solved = integrate.solve_ivp(
        lambda t, y: arrays((), t, y), times[[0, -1]].tolist(), start.numpy(), **control
    )
    truth = true_states(problem).states[-1]
    assert np.abs(solved.y[:, -1] - truth).max() < 1e-8 * np.abs(truth).max()


def test_what_a_predator_prey_system_keeps():
    states = true_states(PROBLEMS["B1"]).states
    prey, predators = states[:, 0], states[:, 1]
    invariant = prey + 2 * predators - np.log(prey) - 2 * np.log(predators)
    assert invariant[-1] == pytest.approx(invariant[0], rel=1e-11)


def test_every_class_of_the_test_set_is_there():
    assert {name[0] for name in TEXTBOOK} == set("ABCDE")


def test_initial_values_have_all_their_digits():
    _, start, _ = PROBLEMS["D3"].make()
    assert start.dtype == torch.float64 and start[-1].item() == math.sqrt(3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_in_float64_and_forward_only(name):
    problem = PROBLEMS[name]
    field, start, times = problem.make()
    assert {tensor.dtype for tensor in (start, times, *field.parameters())} == {torch.float64}
    assert problem.modes == ("forward",) and problem.name == name
