"""The figures of the noisy spiral: every epoch, every seed, and the reasons."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flashode.experiments import noisy
from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, decades, save, style
from flashode.experiments.noisy import Trial, Way
from flashode.experiments.spiral import Epoch, Observations

_COLUMNS = 3
_COLORS = (PREDICTION, TRUTH)


def draw_panels(
    field: str, epochs: Sequence[Epoch], observations: Observations, path: Path, *, most: int = 9
) -> Path:
    """The phase plane after each epoch but the untrained one; nine of them evenly if there are more."""
    trained = list(epochs[1:]) or list(epochs)
    if len(trained) > most:
        picked = torch.linspace(0, len(trained) - 1, most).round().int().tolist()
        trained = [trained[i] for i in picked]
    rows = -(-len(trained) // _COLUMNS)
    with style():
        figure = Figure(figsize=(2.3 * _COLUMNS + 0.4, 2.35 * rows + 0.5))
        grid = figure.subplots(rows, _COLUMNS, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(trained):
                axes.remove()
                continue
            _draw_plane(axes, trained[place], observations)
        figure.suptitle(field, x=0.02, ha="left", fontsize=9)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=3)
        return save(figure, path)


def draw_seeds(trials: Sequence[Trial], path: Path) -> Path:
    """The error after each epoch: a panel a variant, a line a seed, and the median."""
    with style():
        figure = Figure(figsize=(7.4, 2.7))
        grid = figure.subplots(1, len(noisy.VARIANTS), sharey=True, squeeze=False)[0]
        for axes, (field, rate) in zip(grid, noisy.VARIANTS, strict=True):
            some = [one for one in trials if (one.field, one.rate) == (field, rate)]
            for one in some:
                axes.semilogy(one.losses, color=PREDICTION, linewidth=0.6, alpha=0.5)
            losses = torch.tensor([one.losses for one in some], dtype=torch.float64)
            axes.semilogy(losses.quantile(0.5, 0).numpy(), color=PREDICTION)
            axes.axhline(noisy.ARRIVED, color=QUIET, linewidth=0.7, linestyle=":")
            axes.set_title(f"{field}, rate {rate:g}", loc="left")
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        decades(grid[0].yaxis)
        grid[0].set_ylabel("mean squared error")
        return save(figure, path)


def draw_reasons(
    noise: float, ways: Sequence[Way], tolerances: Mapping[float, Mapping[float, float]], path: Path
) -> Path:
    """What each observation tells, what all tell together, how far the layer comes, and the tolerance.

    Args:
        noise: Of the observations.
        ways: The layer's, by learning rate and noise.
        tolerances: By learning rate, the layer's errors by relative tolerance.
        path: Of the picture.
    """
    with style():
        figure = Figure(figsize=(7.4, 5.2))
        (each, bound), (way, tolerance) = figure.subplots(2, 2)
        _draw_each(each)
        _draw_bounds(bound, noise)
        _draw_ways(way, ways)
        for (rate, errors), color in zip(tolerances.items(), _COLORS, strict=False):
            tolerance.loglog(
                list(errors), list(errors.values()), "o-", color=color, markersize=3, label=f"rate {rate:g}"
            )
        decades(tolerance.xaxis)
        tolerance.set_title("the layer's error by the solver's tolerance", loc="left")
        tolerance.set(xlabel="relative tolerance in training", ylabel="mean squared error")
        tolerance.legend(fontsize=7)
        for axes in (each, bound, way, tolerance):
            decades(axes.yaxis)
        return save(figure, path)


def _draw_each(axes: Axes) -> None:
    information = noisy.information()
    axes.semilogy(
        information.times.numpy()[1:], information.each.numpy()[1:], ".-", color=TRUTH, markersize=3
    )
    axes.set_title("what each observation tells about A", loc="left")
    axes.set(xlabel="time of the observation", ylabel="‖∂z(t)/∂A‖")
    axes.text(
        0.98,
        0.92,
        f"of all: condition {information.condition:.0f}",
        transform=axes.transAxes,
        ha="right",
        color=QUIET,
        fontsize=7,
    )


def _draw_bounds(axes: Axes, noise: float) -> None:
    for end, color in ((25.0, PREDICTION), (5.0, TRUTH)):
        information = noisy.information(end)
        for level, line in ((noise, "-"), (1.0, "--")):
            if level > 0.0:
                axes.semilogy(
                    range(1, len(information.times) + 1),
                    (level * information.bounds).numpy(),
                    line,
                    color=color,
                    label=f"100 times in [0, {end:g}], noise {level:g}",
                )
    axes.set_title("least error of an entry of A (Cramér–Rao)", loc="left")
    axes.set(xlabel="observations used", ylabel="standard deviation")
    axes.legend(fontsize=7)


def _draw_ways(axes: Axes, ways: Sequence[Way]) -> None:
    colors = dict(zip(dict.fromkeys(way.rate for way in ways), _COLORS, strict=False))
    for way in ways:
        axes.semilogy(
            [noisy.SETTING.updates_per_epoch * epoch for epoch in range(len(way.distances))],
            way.distances,
            "-" if way.noise > 0.0 else ":",
            color=colors[way.rate],
            label=f"rate {way.rate:g}, noise {way.noise:g}",
        )
    axes.axvline(noisy.SETTING.updates_per_epoch * noisy.EPOCHS, color=QUIET, linewidth=0.6)
    axes.set_title("largest error of the layer's entries", loc="left")
    axes.set(xlabel=f"updates (line: {noisy.EPOCHS} epochs)", ylabel="error")
    axes.legend(fontsize=7)


def _draw_plane(axes: Axes, epoch: Epoch, observations: Observations) -> None:
    observed, truth = observations.states.numpy(), observations.curve.numpy()
    axes.plot(*observed.T, ".", color=QUIET, markersize=2.5, label="observations")
    axes.plot(*truth.T, color=TRUTH, linewidth=0.9, label="truth")
    axes.plot(*epoch.trajectory.numpy().T, color=PREDICTION, label="prediction")
    axes.set_title(f"epoch {epoch.number}", loc="left", fontweight="bold")
    axes.set_title(f"MSE {epoch.loss:.1e}", loc="right", color=QUIET, fontsize=7)
    axes.set(xlim=(-1.0, 1.5), ylim=(-1.0, 1.5), aspect="equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
