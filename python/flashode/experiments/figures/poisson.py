"""The figures of Poisson's equation: the potential as it is learned, both losses, and the error."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from torch import Tensor

from flashode.experiments import poisson
from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, decades, save, style
from flashode.experiments.poisson import Step

# Potentials are drawn from minus to plus so many times the reference's largest: a model that is somewhat off
# is within, and one that is far off does not pale the others.
_REACH = 1.5


def draw_panels(panels: Mapping[str, Mapping[int, Tensor]], exact: Tensor, path: Path) -> Path:
    """The potential after so many steps, a row a recipe, and the reference, on one scale of colours.

    Args:
        panels: By recipe, potentials by the number of steps.
        exact: The reference.
        path: Of the picture.
    """
    columns = 1 + max(len(shown) for shown in panels.values())
    with style():
        figure = Figure(figsize=(1.6 * columns + 0.9, 1.65 * len(panels) + 0.4))
        grid = figure.subplots(len(panels), columns, squeeze=False, sharex=True, sharey=True)
        for row, (recipe, shown) in zip(grid, panels.items(), strict=True):
            for axes, (number, potential) in zip(row, sorted(shown.items()), strict=False):
                _draw(axes, potential, f"step {number}", _scale(exact))
                span = f"{float(potential.min()):.2g} … {float(potential.max()):.2g}".replace("-", "−")
                axes.set_title(span, loc="right", color=QUIET, fontsize=7)
            image = _draw(row[-1], exact, "finite differences", _scale(exact))
            row[0].set_ylabel(f"{recipe}\ny")
        for axes in grid[-1]:
            axes.set_xlabel("x")
        bar = figure.colorbar(image, ax=grid, extend="both", aspect=30, pad=0.01)
        bar.set_label("Φ", rotation=0)
        return save(figure, path)


def draw_error(potential: Tensor, exact: Tensor, path: Path) -> Path:
    """The potential and the reference on one scale of colours, and their difference on its own."""
    difference = potential - exact
    with style():
        figure = Figure(figsize=(7.4, 2.3))
        grid = figure.subplots(1, 3, sharex=True, sharey=True)
        _draw(grid[0], potential, "neural ODE", _scale(exact))
        image = _draw(grid[1], exact, "finite differences", _scale(exact))
        figure.colorbar(image, ax=grid[:2], shrink=0.85, aspect=20, pad=0.02).set_label("Φ", rotation=0)
        error = poisson.relative_error(potential, exact)
        image = _draw(grid[2], difference, f"difference, {error:.2%} in L2", float(difference.abs().max()))
        powers = ScalarFormatter(useMathText=True)
        figure.colorbar(
            image, ax=grid[2], shrink=0.85, aspect=20, pad=0.02, ticks=MaxNLocator(5), format=powers
        )
        for axes in grid:
            axes.set_xlabel("x")
        grid[0].set_ylabel("y")
        return save(figure, path)


def draw_convergence(
    recipes: Mapping[str, Sequence[Sequence[Step]]], best: Sequence[float], path: Path
) -> Path:
    """Both losses of each recipe from several seeds, and the residual of the best recipe."""
    with style():
        figure = Figure(figsize=(7.4, 3.0))
        grid = figure.subplots(1, len(recipes) + 1)
        for axes, (recipe, histories) in zip(grid, recipes.items(), strict=False):
            _draw_losses(axes, histories)
            axes.set_title(recipe, loc="left", fontsize=8)
        grid[0].set_ylabel("mean square")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        last = grid[-1]
        last.semilogy(best, color=PREDICTION, linewidth=0.8)
        last.set_title("best recipe: residual", loc="left", fontsize=8)
        last.set_xlabel("evaluation (line: L-BFGS begins)")
        last.axvline(
            poisson.WARM_UP_EPOCHS * poisson.STEPS_PER_EPOCH, color=QUIET, linewidth=0.6, linestyle=":"
        )
        for axes in grid:
            decades(axes.yaxis)
        return save(figure, path)


def _draw_losses(axes: Axes, histories: Sequence[Sequence[Step]]) -> None:
    parts = (
        ("residual", PREDICTION, poisson.PUBLISHED_RESIDUAL),
        ("boundary", TRUTH, poisson.PUBLISHED_BOUNDARY),
    )
    for part, color, published in parts:
        for i, history in enumerate(histories):
            axes.semilogy(
                [step.number for step in history],
                [getattr(step, part) for step in history],
                color=color,
                linewidth=0.8,
                alpha=0.7,
                label=part if i == 0 else None,
            )
        axes.plot(
            poisson.PUBLISHED_STEPS,
            published,
            "*",
            color=color,
            markeredgecolor=QUIET,
            markersize=10,
            label=f"{part}, published",
        )
    axes.set_xlabel("step of Adam")


def _scale(exact: Tensor) -> float:
    return _REACH * float(exact.abs().max())


def _draw(axes: Axes, field: Tensor, title: str, limit: float) -> QuadMesh:
    along = torch.linspace(0.0, 1.0, poisson.SHOWN).numpy()
    image = axes.pcolormesh(
        along,
        along,
        field.T.numpy(),
        shading="gouraud",
        cmap=matplotlib.colormaps["RdBu_r"],
        vmin=-limit,
        vmax=limit,
    )
    axes.set_title(title, loc="left")
    axes.set_xticks((0.0, 0.5, 1.0), ("0", "0.5", "1"))
    axes.set_yticks((0.0, 0.5, 1.0), ("0", "0.5", "1"))
    axes.set_aspect("equal")
    axes.grid(visible=False)
    return image
