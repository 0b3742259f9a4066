"""One look for every figure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

# Two hues of the Okabe–Ito palette: told apart by colour-blind readers and in grey print.
TRUTH = "#0072B2"
PREDICTION = "#D55E00"
QUIET = "#6b6b6b"

_SETTINGS = {
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 200,
    "xtick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.color": QUIET,
    "ytick.labelsize": 8,
}


@contextmanager
def style() -> Iterator[None]:
    """Applies the look within the block and restores the caller's matplotlib settings."""
    with matplotlib.rc_context(_SETTINGS):  # type: ignore[arg-type]
        yield


def decades(axis: Axis, most: int = 7) -> None:
    """Ticks of a logarithmic axis only at decades, and not more of them than can be read."""
    axis.set_major_locator(LogLocator(numticks=most))
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG."""
    figure.savefig(path)
    return path
