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
    """Above, normal draws at several times; below, the data, the learned density and the true one."""
    random = torch.Generator().manual_seed(seed)
    moving = density.sample(_POINTS, random, cnf.PANEL_TIMES)
    with style():
        columns = len(cnf.PANEL_TIMES)
        figure = Figure(figsize=(1.75 * columns + 0.2, 3.9))
        grid = figure.subplots(2, columns, squeeze=False)
        for axes, t, points in zip(grid[0], cnf.PANEL_TIMES, moving, strict=True):
            axes.plot(*points.T.numpy(), ".", color=PREDICTION, markersize=1.0, alpha=0.5)
            axes.set_title(f"t = {t:g}", loc="left")
        grid[1, 0].plot(*cnf.draw(_POINTS, random).T.numpy(), ".", color=TRUTH, markersize=1.0, alpha=0.5)
        grid[1, 0].set_title("data", loc="left")
        pixels = _pixels()
        with torch.no_grad():
            learned = density.log_density(pixels).exp()
        true = cnf.true_log_density(pixels).exp()
        for axes, values, title in (
            (grid[1, 1], learned, "learned density"),
            (grid[1, 2], true, "true density"),
        ):
            image = axes.imshow(
                values.reshape(_PIXELS, _PIXELS).T.numpy(),
                origin="lower",
                extent=(-_REACH, _REACH, -_REACH, _REACH),
                cmap=matplotlib.colormaps["viridis"],
                vmin=0.0,
                vmax=float(true.max()),
            )
            axes.set_title(title, loc="left")
        figure.colorbar(image, ax=grid[1, 2], location="right", shrink=0.8)
        for axes in grid[1, 3:]:
            axes.remove()
        for axes in (*grid[0], *grid[1, :3]):
            axes.set(xlim=(-_REACH, _REACH), ylim=(-_REACH, _REACH), aspect="equal", xticks=(), yticks=())
            axes.grid(visible=False)
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
