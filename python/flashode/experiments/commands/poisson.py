"""The command `flashode poisson`."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from flashode.experiments import page, poisson, results
from flashode.experiments.commands.choices import EngineOption, OutOption, SeedOption
from flashode.experiments.engine import Engine
from flashode.experiments.poisson import Step
from flashode.experiments.session import Session, session, tell


def run(
    engine: EngineOption = Engine.auto,
    out: OutOption = Path("results/poisson"),
    seed: SeedOption = 0,
) -> None:
    """Solve Poisson's equation by a physics-informed neural ODE, as published and as works best."""
    with session("poisson", out, engine, ("scipy",)) as own:
        panels, histories = _published(own, seed)
        _plain(own, seed)
        best, history = _best(own, seed)
        exact = poisson.reference()
        error = poisson.relative_error(best, exact)
        own.note(relative_error=error)
        _report(own)
        _leave(own, panels, histories, best, history, exact, seed)


def _published(own: Session, seed: int) -> tuple[dict[int, Tensor], list[list[Step]]]:
    """The published recipe from five seeds; the panels are the first one's."""
    histories: list[list[Step]] = []
    panels: dict[int, Tensor] = {}
    used = results.engine_of(poisson.make_potential(seed).flow, torch.zeros(8, poisson.WIDTH), torch.ones(1))
    updates = poisson.PUBLISHED_STEPS + 1
    with own.bar(epochs=len(poisson.SEEDS), updates_per_epoch=updates, title="as published") as bar:
        for start in poisson.SEEDS:
            potential = poisson.make_potential(seed + start)
            history = []
            for step in poisson.train_as_published(potential):
                history.append(step)
                bar.update(step.residual + step.boundary)
                if not histories and step.number in poisson.PANEL_STEPS:
                    panels[step.number] = poisson.shown(potential)
            histories.append(history)
            own.note(
                engine=used,
                gain=poisson.GAIN,
                seeds=[seed + s for s in poisson.SEEDS][: len(histories)],
                published={
                    "boundary": poisson.PUBLISHED_BOUNDARY,
                    "residual": poisson.PUBLISHED_RESIDUAL,
                    "steps": poisson.PUBLISHED_STEPS,
                    "learning_rate": poisson.PUBLISHED_RATE,
                },
                boundary=[one[-1].boundary for one in histories],
                residual=[one[-1].residual for one in histories],
                boundary_median=statistics.median(one[-1].boundary for one in histories),
                residual_median=statistics.median(one[-1].residual for one in histories),
            )
    return panels, histories


def _plain(own: Session, seed: int) -> None:
    """The same with plain layers, from the same seeds."""
    updates = poisson.PUBLISHED_STEPS + 1
    ends = []
    with own.bar(epochs=len(poisson.SEEDS), updates_per_epoch=updates, title="plain layers") as bar:
        for start in poisson.SEEDS:
            step = None
            for step in poisson.train_as_published(poisson.make_potential(seed + start, gain=poisson.PLAIN)):
                bar.update(step.residual + step.boundary)
            assert step is not None
            ends.append(step)
    own.note(
        plain_boundary=[end.boundary for end in ends],
        plain_residual=[end.residual for end in ends],
        plain_boundary_median=statistics.median(end.boundary for end in ends),
        plain_residual_median=statistics.median(end.residual for end in ends),
    )


def _best(own: Session, seed: int) -> tuple[Tensor, list[float]]:
    potential = poisson.make_potential(seed, torch.float64, held=True)
    began = time.perf_counter()
    # A line search evaluates the residual about once an iteration.
    updates = poisson.WARM_UP + poisson.ITERATIONS
    with own.bar(epochs=1, updates_per_epoch=updates, title="best recipe") as bar:
        history = poisson.train_best(potential, bar.update)
    own.note(
        best={
            "recipe": f"Φ held at zero on the boundary by a factor x (1 - x) y (1 - y); {poisson.WARM_UP} "
            f"steps of Adam at {poisson.WARM_UP_RATE}, then {poisson.ITERATIONS} iterations of L-BFGS, in "
            "float64",
            "seconds": time.perf_counter() - began,
            "evaluations": len(history),
            "residual": history[-1],
        }
    )
    return poisson.shown(potential), history


def _report(own: Session) -> None:
    metrics = own.metrics
    best = metrics["best"]
    assert isinstance(best, dict)
    tell(
        {
            "engine": str(metrics["engine"]),
            "boundary": f"{metrics['boundary_median']:.4f} after {poisson.PUBLISHED_STEPS} steps (median of "
            f"{len(poisson.SEEDS)} seeds), published {poisson.PUBLISHED_BOUNDARY}",
            "residual": f"{metrics['residual_median']:.4f}, published {poisson.PUBLISHED_RESIDUAL}",
            "plain": f"with plain layers boundary {metrics['plain_boundary_median']:.3g}, residual "
            f"{metrics['plain_residual_median']:.3g}",
            "best": f"relative error {metrics['relative_error']:.2%} in {best['seconds']:.0f} s: "
            f"{best['recipe']}",
        }
    )


def _leave(
    own: Session,
    panels: dict[int, Tensor],
    histories: list[list[Step]],
    best: Tensor,
    history: list[float],
    exact: Tensor,
    seed: int,
) -> None:
    from flashode.experiments.figures import poisson as figures  # matplotlib takes half a second to import

    metrics = own.metrics
    recipe = metrics["best"]
    assert isinstance(recipe, dict)
    rows = (
        (
            "boundary loss",
            f"{poisson.PUBLISHED_BOUNDARY:.4f}",
            f"{metrics['boundary_median']:.4f}",
            f"{metrics['plain_boundary_median']:.3g}",
        ),
        (
            "residual loss",
            f"{poisson.PUBLISHED_RESIDUAL:.4f}",
            f"{metrics['residual_median']:.4f}",
            f"{metrics['plain_residual_median']:.3g}",
        ),
        ("relative L2 error, best recipe", "–", f"{metrics['relative_error']:.2%}", "–"),
        ("seconds, best recipe", "–", f"{recipe['seconds']:.0f}", "–"),
    )
    own.leave(
        "Poisson's equation by a physics-informed neural ODE",
        "ΔΦ = 2π sin x sin y on the unit square, Φ = 0 on its boundary. Points are lifted into 32 "
        "dimensions, flow for one unit of time and are read out; value and Laplacian come from one "
        f"compiled solve. Losses are mean squares after {poisson.PUBLISHED_STEPS} steps of Adam at "
        f"{poisson.PUBLISHED_RATE}, the median of {len(poisson.SEEDS)} seeds. Our weights are "
        f"{poisson.GAIN:g} of the parameters that the rate moves, so that a step moves a weight by about "
        f"{poisson.GAIN * poisson.PUBLISHED_RATE:g}; with plain layers the flow runs "
        f"away from some seeds. The best recipe: {recipe['recipe']}.",
        page.Table(("", "published", "ours", "ours, plain layers"), rows),
        [
            page.Figure(
                figures.draw_panels(panels, exact, own.out / "panels.png"),
                "Φ after so many steps of the published recipe (first seed), and by finite differences.",
            ),
            page.Figure(
                figures.draw_convergence(histories, history, own.out / "convergence.png"),
                "Both losses: of the published recipe from five seeds, with the published ends, and of the "
                "best recipe.",
            ),
            page.Figure(
                figures.draw_error(best, exact, own.out / "error.png"),
                "The best recipe's potential, the reference by finite differences, and the difference.",
            ),
        ],
        own.again("poisson", seed=seed),
    )
