"""The figures of Poisson's equation: the potential as it is learned, both losses, and the error."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from flashode.experiments import poisson
from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, save, style
from flashode.experiments.poisson import Step


def draw_panels(panels: Mapping[int, Tensor], exact: Tensor, path: Path) -> Path:
    """The potential after so many steps, and the reference, each on its own scale of colours where it is far
    off.

    Args:
        panels: Potentials by the number of steps.
        exact: The reference.
        path: Of the picture.
    """
    shown = [(f"step {number}", potential) for number, potential in sorted(panels.items())]
    shown.append(("finite differences", exact))
    with style():
        figure = Figure(figsize=(2.15 * len(shown) + 0.3, 2.4))
        grid = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (title, potential) in zip(grid, shown, strict=True):
            image = _draw(axes, potential, title)
            figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.85, aspect=18)
        grid[0].set_ylabel("y")
        return save(figure, path)


def draw_error(found: Tensor, exact: Tensor, path: Path) -> Path:
    """The potential, the reference, and their difference."""
    with style():
        figure = Figure(figsize=(7.4, 2.7))
        grid = figure.subplots(1, 3)
        error = poisson.relative_error(found, exact)
        for axes, field, title in zip(
            grid,
            (found, exact, found - exact),
            ("neural ODE", "finite differences", f"difference, {error:.2%} in L2"),
            strict=True,
        ):
            centred = title.startswith("difference")
            image = _draw(axes, field, title, centred=centred)
            figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.85, aspect=20)
        grid[0].set_ylabel("y")
        return save(figure, path)


def draw_convergence(histories: Sequence[Sequence[Step]], best: Sequence[float], path: Path) -> Path:
    """Both losses of the published recipe from several seeds, and the residual of the best recipe."""
    with style():
        figure = Figure(figsize=(7.4, 2.9))
        left, right = figure.subplots(1, 2)
        parts = (
            ("residual", PREDICTION, poisson.PUBLISHED_RESIDUAL),
            ("boundary", TRUTH, poisson.PUBLISHED_BOUNDARY),
        )
        for part, color, published in parts:
            for i, history in enumerate(histories):
                left.semilogy(
                    [step.number for step in history],
                    [getattr(step, part) for step in history],
                    color=color,
                    linewidth=0.8,
                    alpha=0.7,
                    label=part if i == 0 else None,
                )
            left.plot(
                poisson.PUBLISHED_STEPS, published, "*", color=color, markeredgecolor=QUIET, markersize=11
            )
        right.semilogy(best, color=PREDICTION, linewidth=0.8)
        left.set_title("as published, five seeds (stars: published)", loc="left")
        right.set_title("best recipe: residual", loc="left")
        left.set_xlabel("step of Adam")
        right.set_xlabel("evaluation")
        left.set_ylabel("mean square")
        left.legend()
        right.axvline(poisson.WARM_UP, color=QUIET, linewidth=0.6, linestyle=":")
        return save(figure, path)


def _draw(axes: Axes, field: Tensor, title: str, *, centred: bool = False) -> AxesImage:
    limit = float(field.abs().max()) or 1.0
    image = axes.imshow(
        field.T.numpy(),
        origin="lower",
        extent=(0.0, 1.0, 0.0, 1.0),
        cmap=matplotlib.colormaps["RdBu_r" if centred else "viridis"],
        vmin=-limit if centred else None,
        vmax=limit if centred else None,
    )
    axes.set_title(title, loc="left")
    axes.set(xticks=(0, 1), yticks=(0, 1), xlabel="x")
    axes.grid(visible=False)
    return image
