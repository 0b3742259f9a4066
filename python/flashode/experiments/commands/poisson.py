"""The command `flashode poisson`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from flashode.experiments import page, poisson, results
from flashode.experiments.commands import resuming
from flashode.experiments.commands.choices import (
    ENGINE,
    SEED,
    EngineOption,
    OutOption,
    ResumeOption,
    SeedOption,
)
from flashode.experiments.poisson import Potential, Step
from flashode.experiments.published import CITATION
from flashode.experiments.session import Command, Session, session, tell
from flashode.experiments.training import Training

_BEST = "best recipe"  # the training's name in the file
_AS_PUBLISHED = "published recipe"
_BEST_RECIPE = (
    "Φ held at zero on the boundary by a factor x (1 - x) y (1 - y); "
    f"{poisson.WARM_UP_EPOCHS * poisson.STEPS_PER_EPOCH} steps of Adam at {poisson.WARM_UP_RATE:g}, then "
    "iterations of L-BFGS, in float64"
)


@dataclass
class Findings:
    """The results so far, with which a next run goes on.

    Attributes:
        histories: By recipe, each seed's steps.
        panels: By recipe and seed, the potential after so many steps.
        residuals: Of the best recipe, at each evaluation.
    """

    histories: dict[str, list[list[Step]]] = field(default_factory=dict)
    panels: dict[str, list[dict[int, Tensor]]] = field(default_factory=dict)
    residuals: list[float] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As plain values and tensors."""
        histories = {
            name: [[vars(step) for step in history] for history in histories]
            for name, histories in self.histories.items()
        }
        return {**vars(self), "histories": histories}

    @staticmethod
    def of(plain: dict[str, Any]) -> Findings:
        """What `plain` gave; nothing of nothing."""
        histories = {
            name: [[Step(**step) for step in history] for history in histories]
            for name, histories in plain.get("histories", {}).items()
        }
        return Findings(histories, plain.get("panels", {}), plain.get("residuals", []))


def run(
    engine: EngineOption = ENGINE,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Epochs to train by the best recipe, of {poisson.STEPS_PER_EPOCH} steps; the first "
            f"{poisson.WARM_UP_EPOCHS} are of Adam.",
            show_default=f"{poisson.EPOCHS}",
        ),
    ] = None,
    out: OutOption = Path("results/poisson"),
    seed: SeedOption = None,
    resume: ResumeOption = None,
) -> None:
    """Solve Poisson's equation by a physics-informed neural ODE, as published and as works best."""
    earlier = resuming.Earlier.at(resume, "poisson")
    seed = earlier.settled("seed", seed, SEED)
    epochs = earlier.epochs(epochs, poisson.EPOCHS)
    training = poisson.begin_best(seed, earlier.epoch)
    earlier.restore(_BEST, training)
    findings = earlier.restored(Findings.of)
    command = Command(("poisson",), out, engine, resume, {"epochs": epochs, "seed": seed})
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with session("poisson", command, ("scipy",), earlier.saved.metrics) as own:
        own.note(
            engine=results.engine_of(training.model.flow, torch.zeros(8, poisson.WIDTH).double(), ends),
            published={
                "source": CITATION,
                "boundary": poisson.PUBLISHED_BOUNDARY,
                "residual": poisson.PUBLISHED_RESIDUAL,
                "steps": poisson.PUBLISHED_STEPS,
                "learning_rate": poisson.PUBLISHED_RATE,
            },
        )
        for recipe in poisson.RECIPES:
            _as_published(own, recipe, training, findings, seed)
        _best(own, training, findings, epochs)
        with own.bar(unit="grid", total=1, title="finite differences") as bar:
            exact = poisson.reference()
            bar.update()
        best = poisson.shown(training.model)
        _conclude(own, findings, best, exact)
        own.leave(_page(own, findings, best, exact))


def _as_published(
    own: Session, recipe: str, training: Training[Potential], findings: Findings, seed: int
) -> None:
    """Sixty steps from each seed that is not there yet."""
    histories = findings.histories.setdefault(recipe, [])
    panels = findings.panels.setdefault(recipe, [])
    seeds = [seed + start for start in poisson.SEEDS]
    with own.bar(
        unit="seed",
        total=len(seeds),
        inner="step",
        each=poisson.PUBLISHED_STEPS,
        done=len(histories),
        title=recipe,
    ) as bar:
        for one in seeds[len(histories) :]:
            potential = poisson.make_potential(one, gain=poisson.RECIPES[recipe])
            history, shown = [], {}
            for step in poisson.train_as_published(potential):
                history.append(step)
                if step.number > 0:
                    bar.update(step.residual + step.boundary)
                if step.number in poisson.PANEL_STEPS:
                    shown[step.number] = poisson.shown(potential)
            histories.append(history)
            panels.append(shown)
            own.keep({_BEST: training}, findings.plain())


def _best(own: Session, training: Training[Potential], findings: Findings, epochs: int) -> None:
    seconds = own.metrics.get("best", {}).get("seconds", 0.0) - time.perf_counter()
    with own.bar(unit="epoch", total=epochs, done=training.epoch, title=_BEST) as bar:
        for residuals in poisson.train_best(training, epochs=epochs):
            findings.residuals += residuals
            bar.update(residuals[-1])
            own.note(
                best={
                    "recipe": _BEST_RECIPE,
                    "epochs": training.epoch,
                    "seconds": seconds + time.perf_counter(),
                    "evaluations": len(findings.residuals),
                    "residual": findings.residuals[-1],
                }
            )
            own.keep({_BEST: training}, findings.plain())


def _conclude(own: Session, findings: Findings, best: Tensor, exact: Tensor) -> None:
    """Notes what all of it comes to, and tells it."""
    recipes = {}
    for recipe, gain in poisson.RECIPES.items():
        ends = [history[-1] for history in findings.histories[recipe]]
        errors = [poisson.relative_error(shown[ends[0].number], exact) for shown in findings.panels[recipe]]
        recipes[recipe] = {"gain": gain} | _all("relative_error", errors)
        for part in ("boundary", "residual"):
            recipes[recipe] |= _all(part, [getattr(end, part) for end in ends])
    own.note(
        seeds=[int(own.command.settings["seed"]) + start for start in poisson.SEEDS],
        recipes=recipes,
        relative_error=poisson.relative_error(best, exact),
    )
    tell({"engine": str(own.metrics["engine"])})
    tell(
        {
            name: f"boundary {edge}, residual {inside}, error {error}"
            for name, edge, inside, error in _rows(own)
        }
    )


def _all(name: str, values: list[float]) -> dict[str, object]:
    return {name: values, f"{name}_median": statistics.median(values)}


def _rows(own: Session) -> Sequence[tuple[str, str, str, str]]:
    """Recipe, both losses, and the relative error."""
    metrics = own.metrics
    rows = [("published", f"{poisson.PUBLISHED_BOUNDARY:.4f}", f"{poisson.PUBLISHED_RESIDUAL:.4f}", "–")]
    for recipe, numbers in metrics["recipes"].items():
        edge, inside = numbers["boundary_median"], numbers["residual_median"]
        rows.append(
            (
                f"{_AS_PUBLISHED}, {recipe}",
                f"{edge:.2g}",
                f"{inside:.2g}",
                f"{numbers['relative_error_median']:.0%}",
            )
        )
    best = metrics["best"]
    rows.append((_BEST, "0", f"{best['residual']:.1e}", f"{metrics['relative_error']:.2%}"))
    return rows


def _middle(histories: list[list[Step]]) -> int:
    """Which seed has the median of the last losses."""
    losses = [history[-1].residual + history[-1].boundary for history in histories]
    return losses.index(statistics.median_low(losses))


def _page(own: Session, findings: Findings, best: Tensor, exact: Tensor) -> page.Page:
    from flashode.experiments.figures import poisson as figures  # matplotlib takes half a second to import

    panels = {
        recipe: findings.panels[recipe][_middle(findings.histories[recipe])] for recipe in poisson.RECIPES
    }
    plain, scaled = poisson.RECIPES
    return page.Page(
        "Poisson's equation by a physics-informed neural ODE",
        "ΔΦ = 2π sin x sin y on the unit square, Φ = 0 on its boundary. Points are lifted into "
        f"{poisson.WIDTH} dimensions, flow for one unit of time and are read out; value and Laplacian come "
        f"from one compiled solve. “Published” is {CITATION}: {poisson.PUBLISHED_STEPS} steps of Adam at "
        f"{poisson.PUBLISHED_RATE:g} on the sum of both mean squares. With {plain} that is the recipe as it "
        f"is; with {scaled} of the parameters, a step moves a weight by about "
        f"{poisson.GAIN * poisson.PUBLISHED_RATE:g}. Both are medians of {len(poisson.SEEDS)} seeds; with "
        f"{plain} the flow runs away from some. The best recipe: {_BEST_RECIPE}; it took "
        f"{own.metrics['best']['seconds']:.0f} s.",
        page.Table(("", "boundary loss", "residual loss", "relative L2 error"), tuple(_rows(own))),
        [
            page.Figure(
                "panels.png",
                partial(figures.draw_panels, panels, exact),
                "Φ after so many steps of the published recipe, of the seed whose last loss is the median; "
                "and by finite differences, on one scale of colours; what is beyond it has the colour of its "
                "end, and its range is written.",
            ),
            page.Figure(
                "convergence.png",
                partial(figures.draw_convergence, findings.histories, findings.residuals),
                "Both losses of both recipes from five seeds, with the published ends, and of the best "
                "recipe.",
            ),
            page.Figure(
                "error.png",
                partial(figures.draw_error, best, exact),
                "The best recipe's potential, the reference by finite differences, and the difference.",
            ),
        ],
    )
