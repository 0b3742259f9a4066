"""The figures of the continuous normalizing flow: points and density on their way, and the likelihood."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from flashode.experiments import cnf
from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, save, style

_REACH = 3.0
_PIXELS = 160
_POINTS = 2000


def draw_flow(density: cnf.Density, seed: int, path: Path) -> Path:
    """Normal draws on their way to the data, and below them their density; on the right the truth of both."""
    random = torch.Generator().manual_seed(seed)
    moving = density.sample(_POINTS, random, cnf.PANEL_TIMES)
    pixels = _pixels()
    with torch.no_grad():
        learned = [density.log_density(pixels, t).exp() for t in cnf.PANEL_TIMES]
    true = cnf.true_log_density(pixels).exp()
    titles = [*(f"t = {t:g}" for t in cnf.PANEL_TIMES), "data, true density"]
    with style():
        columns = len(titles)
        figure = Figure(figsize=(1.6 * columns + 0.9, 3.6))
        grid = figure.subplots(2, columns, sharex=True, sharey=True)
        for axes, title, points in zip(grid[0], titles, (*moving, cnf.draw(_POINTS, random)), strict=True):
            color = TRUTH if axes is grid[0, -1] else PREDICTION
            axes.plot(*points.T.numpy(), ".", color=color, markersize=1.0, alpha=0.5)
            axes.set_title(title, loc="left")
        for axes, values in zip(grid[1], (*learned, true), strict=True):
            image = axes.imshow(
                values.reshape(_PIXELS, _PIXELS).T.numpy(),
                origin="lower",
                extent=(-_REACH, _REACH, -_REACH, _REACH),
                cmap=matplotlib.colormaps["viridis"],
                vmin=0.0,
                vmax=float(true.max()),
            )
        for axes in grid.flat:
            axes.set(xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH), aspect="equal")
            axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
            axes.grid(visible=False)
        figure.colorbar(image, ax=grid, label="density", extend="max", aspect=30, pad=0.01)
        return save(figure, path)


def draw_likelihood(history: Sequence[cnf.Epoch], best: float, path: Path) -> Path:
    """The mean log-likelihood of points held out, and that of the true density."""
    with style():
        figure = Figure(figsize=(4.6, 2.7))
        axes = figure.subplots()
        axes.plot(
            [epoch.number for epoch in history],
            [epoch.log_likelihood for epoch in history],
            "o-",
            color=PREDICTION,
            markersize=3,
            label="learned density",
        )
        axes.axhline(best, color=QUIET, linestyle=":", label="true density")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="nats a point")
        axes.set_title("Log-likelihood of points held out", loc="left")
        axes.legend()
        return save(figure, path)


def _pixels() -> Tensor:
    along = torch.linspace(-_REACH, _REACH, _PIXELS)
    return torch.cartesian_prod(along, along)
