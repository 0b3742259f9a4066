"""The figures of the latent ODE: spirals continued, and the errors."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from flashode.experiments import latent
from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, save, style

_PANELS = 8
_COLUMNS = 4


def draw_spirals(spirals: latent.Spirals, predicted: Tensor, path: Path) -> Path:
    """The first few spirals of each sense: what was seen, the truth, and the prediction."""
    half = _PANELS // 2
    shown = [
        *spirals.clockwise.nonzero()[:half, 0].tolist(),
        *(~spirals.clockwise).nonzero()[:half, 0].tolist(),
    ]
    with style():
        figure = Figure(figsize=(1.85 * _COLUMNS, 1.95 * -(-len(shown) // _COLUMNS) + 0.4))
        grid = figure.subplots(-(-len(shown) // _COLUMNS), _COLUMNS, squeeze=False, sharex=True, sharey=True)
        reach = 1.15 * float(spirals.truth[shown].abs().max())
        for place, axes in enumerate(grid.flat):
            if place >= len(shown):
                axes.remove()
                continue
            which = shown[place]
            axes.plot(*spirals.truth[which].T.numpy(), color=TRUTH, linewidth=0.8, label="truth")
            axes.plot(*spirals.seen[which].T.numpy(), ".", color=QUIET, markersize=1.5, label="seen")
            within, ahead = predicted[which, : latent.SEEN], predicted[which, latent.SEEN - 1 :]
            axes.plot(*within.T.numpy(), color=PREDICTION, label="prediction")
            axes.plot(*ahead.T.numpy(), "--", color=PREDICTION, label="extrapolation")
            axes.set(
                xlim=(-reach, reach),
                ylim=(-reach, reach),
                aspect="equal",
                xticks=(-1, 0, 1),
                yticks=(-1, 0, 1),
            )
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        return save(figure, path)


def draw_errors(history: Sequence[latent.Epoch], path: Path) -> Path:
    """The error where points were seen, and ahead of them."""
    with style():
        figure = Figure(figsize=(4.6, 2.7))
        axes = figure.subplots()
        for part, color, label in (
            ("within", TRUTH, "where points were seen"),
            ("ahead", PREDICTION, "ahead of them"),
        ):
            errors = [getattr(epoch, part) for epoch in history]
            axes.semilogy(
                [epoch.number for epoch in history], errors, "o-", color=color, markersize=3, label=label
            )
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        noise = latent.NOISE * math.sqrt(2.0)
        axes.axhline(noise, color=QUIET, linestyle=":", label="noise of a point")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="root mean square")
        axes.set_title("Error of spirals held out", loc="left")
        axes.legend()
        return save(figure, path)
