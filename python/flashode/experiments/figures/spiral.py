"""The spiral's figures: what the model predicts at chosen epochs, and how its error falls."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from flashode.experiments.figures.style import PREDICTION, QUIET, TRUTH, decades, save, style
from flashode.experiments.spiral import Epoch, Observations

PANEL_EPOCHS = (5, 6, 7, 10, 11, 15)
_COLUMNS = 3


def draw_trajectories(epochs: Sequence[Epoch], observations: Observations, path: Path) -> Path:
    """A panel per chosen epoch: the phase plane above, both coordinates over time below it.

    The epochs are those of `PANEL_EPOCHS` that the run reached, or the last one if it reached none of them.
    """
    panels = [epoch for epoch in epochs if epoch.number in PANEL_EPOCHS] or [epochs[-1]]
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        size = (2.3 * columns + 0.4, 3.9 * rows + 0.4)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05))
        grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2.0, 1.25] * rows)
        for place, epoch in enumerate(panels):
            row, column = divmod(place, columns)
            plane, time = grid[2 * row, column], grid[2 * row + 1, column]
            _draw_plane(plane, epoch, observations, labelled=column == 0)
            _draw_time(time, epoch, observations, labelled=column == 0)
        for empty in range(len(panels), rows * columns):
            row, column = divmod(empty, columns)
            grid[2 * row, column].remove()
            grid[2 * row + 1, column].remove()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        return save(figure, path)


def draw_loss(epochs: Sequence[Epoch], path: Path) -> Path:
    """The mean squared error over the whole trajectory after each epoch, on a logarithmic scale."""
    with style():
        figure = Figure(figsize=(4.6, 2.9))
        axes = figure.subplots()
        axes.semilogy(
            [epoch.number for epoch in epochs],
            [epoch.loss for epoch in epochs],
            "o-",
            color=PREDICTION,
            markersize=3,
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        decades(axes.yaxis)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean squared error")
        axes.set_title("Error over the whole trajectory", loc="left")
        return save(figure, path)


def _draw_plane(axes: Axes, epoch: Epoch, observations: Observations, *, labelled: bool) -> None:
    observed, truth = observations.states.numpy(), observations.curve.numpy()
    predicted = epoch.trajectory.numpy()
    axes.plot(*truth.T, color=TRUTH, linewidth=0.7, alpha=0.6, label="truth")
    axes.plot(*observed.T, ".", color=TRUTH, markersize=3.5, label="observations")
    axes.plot(*predicted.T, color=PREDICTION, label="prediction")
    axes.plot(*observed[0], "o", color="none", markeredgecolor=QUIET, markersize=7, markeredgewidth=0.8)
    axes.set_title(f"epoch {epoch.number}", loc="left", fontweight="bold")
    axes.set_title(f"MSE {epoch.loss:.1e}", loc="right", color=QUIET, fontsize=7)
    # A prediction that runs away must not shrink the truth to a dot.
    reach = 1.25 * float(observations.states.abs().max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="$z_1$")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    if labelled:
        axes.set_ylabel("$z_2$")


def _draw_time(axes: Axes, epoch: Epoch, observations: Observations, *, labelled: bool) -> None:
    times, fine_times = observations.times.numpy(), observations.fine_times.numpy()
    for coordinate, line in enumerate(("-", "--")):
        axes.plot(
            fine_times, observations.curve[:, coordinate].numpy(), color=TRUTH, linewidth=0.7, alpha=0.6
        )
        axes.plot(times, observations.states[:, coordinate].numpy(), ".", color=TRUTH, markersize=2)
        axes.plot(fine_times, epoch.trajectory[:, coordinate].numpy(), line, color=PREDICTION, linewidth=1.0)
    reach = 1.25 * float(observations.states.abs().max())
    axes.set(xlim=(0, float(times[-1])), ylim=(-reach, reach), xlabel="time")
    axes.set_yticks([-1, 0, 1])
    if labelled:
        axes.set_ylabel("$z_1$ (solid), $z_2$ (dashed)")
