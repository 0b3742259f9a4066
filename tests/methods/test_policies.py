"""Constants of control, of the first step, of interpolants and of Newton's method are written once."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch

import flashode
from flashode.engines.compiled.method import translate
from flashode.methods import METHODS, TABLEAUX, Tableau
from flashode.methods.adams import MAX_ITERATIONS, MAX_ORDER
from flashode.methods.control import CONTROLLER, FIRST_STEP
from flashode.methods.interpolants import QUARTIC
from flashode.methods.newton import NEWTON
from flashode.problem import AdamsOptions, AdaptiveOptions, FixedOptions, ImplicitOptions, Integrator
from problems import Network, values

DOPRI5, GL4 = TABLEAUX["dopri5"], TABLEAUX["gl4"]
# Newton's method until corrections grow again.
UNENDING = replace(NEWTON, roundings=0.0, contraction=0.0)
T = torch.tensor([0.0, 0.31, 1.0, 2.0], dtype=torch.float64)


def test_defaults_of_options() -> None:
    adaptive = AdaptiveOptions()
    assert (adaptive.safety, adaptive.ifactor, adaptive.dfactor) == (
        CONTROLLER.safety,
        CONTROLLER.ifactor,
        CONTROLLER.dfactor,
    )
    assert FixedOptions().interp == TABLEAUX["rk4"].interpolant.name
    assert ImplicitOptions().max_iters == NEWTON.max_iterations
    assert (AdamsOptions().max_iters, AdamsOptions().max_order) == (MAX_ITERATIONS, MAX_ORDER)


def with_first_step(**changes: float) -> Tableau:
    return replace(DOPRI5, first_step=replace(FIRST_STEP, **changes))


CHANGED: dict[str, Tableau] = {
    "share": with_first_step(share=1e-4),
    "least norm": with_first_step(least_norm=1e9),
    "least step": with_first_step(least_norm=1e9, least_step=1e-3),
    "flat": with_first_step(flat=1e9),
    "flat growth": with_first_step(flat=1e9, flat_growth=0.5),
    "most growth": with_first_step(most_growth=1.5),
    "weights of the interpolant": replace(
        DOPRI5, interpolant=replace(QUARTIC, y1=(0, 0, -5, 14, -9), y_mid=(0, 0, 16, -32, 17))
    ),
    "roundings": replace(GL4, newton=replace(NEWTON, roundings=1e12)),
    "contraction": replace(GL4, newton=replace(NEWTON, contraction=0.0)),
    "stagnation": replace(GL4, newton=replace(UNENDING, stagnation=0.0)),
}
# What they are compared with, where it is not the method as it is.
UNCHANGED = {"least step": CHANGED["least norm"], "flat growth": CHANGED["flat"]}
UNCHANGED["stagnation"] = replace(GL4, newton=UNENDING)


def solved(engine: str, method: str, arguments: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """The states, and how often the field was evaluated."""
    with flashode.use_engine(engine), flashode.record() as report, torch.no_grad():
        states = flashode.odeint(Network(), values(4, 3, seed=2), T, method=method, **arguments)
    (entry,) = report.solves
    return states, entry.evaluations


@pytest.mark.parametrize("change", CHANGED)
def test_a_change_changes_every_engine_alike(
    change: str, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = CHANGED[change]
    chooses = method.control == "error"
    arguments = {"rtol": 1e-4, "atol": 1e-5} if chooses else {"options": {"step_size": 0.5}}
    before, after = {}, {}
    for actual, used in ((before, UNCHANGED.get(change, METHODS[method.name])), (after, method)):
        monkeypatch.setitem(METHODS, method.name, used)
        actual.update({engine: solved(engine, method.name, arguments) for engine in ("eager", "native")})
    for engine in ("eager", "native"):
        assert before[engine][1] != after[engine][1] or not torch.allclose(
            before[engine][0], after[engine][0], rtol=1e-10, atol=0
        )
    assert after["native"][1] == after["eager"][1]
    torch.testing.assert_close(after["native"][0], after["eager"][0], rtol=1e-11, atol=1e-12)


def test_nothing_has_a_default_of_its_own_in_the_compiled_module(compiled: None) -> None:
    handed: dict[str, Any] = {}
    translate(Integrator(DOPRI5, AdaptiveOptions(), 1e-3, 1e-3), handed.update)
    module = importlib.import_module("flashode._flashode")
    module.Method(**handed)
    for name in handed.keys() - {"step_t", "jump_t"}:
        with pytest.raises(TypeError, match="incompatible constructor arguments"):
            module.Method(**{key: value for key, value in handed.items() if key != name})
    for name in ("automatic_first_step", "newton", "interpolant_weights"):
        for entry in handed[name]:
            rest = {key: value for key, value in handed[name].items() if key != entry}
            with pytest.raises(ValueError, match=f"{name} has no {entry}"):
                module.Method(**handed | {name: rest})
