"""The figures show the epochs they are given, and draw nothing out of bounds."""

from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure

from flashode.experiments import spiral
from flashode.experiments.figures import spiral as figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved while the test runs."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        kept.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


@pytest.fixture
def observations() -> spiral.Observations:
    fine = torch.linspace(0.0, 25.0, 397)
    states = torch.stack((fine.cos(), fine.sin()), dim=1)
    return spiral.Observations(states[::4], fine, states)


def history(epochs: int, observations: spiral.Observations) -> list[spiral.Epoch]:
    fine = observations.fine_times
    trajectory = torch.stack((fine.exp(), fine), dim=1)  # runs far out of the picture
    return [spiral.Epoch(number, 0.5**number, trajectory, torch.eye(2)) for number in range(epochs + 1)]


@pytest.mark.parametrize(
    ("epochs", "shown"), [(15, [5, 6, 7, 10, 11, 15]), (30, [5, 6, 7, 10, 11, 15]), (6, [5, 6]), (3, [3])]
)
def test_panels_of_the_chosen_epochs(
    tmp_path: Path, drawn: list[Figure], observations: spiral.Observations, epochs: int, shown: list[int]
) -> None:
    path = figures.draw_trajectories(history(epochs, observations), observations, tmp_path / "panels.png")
    assert path.stat().st_size > 0
    (figure,) = drawn
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == [f"epoch {number}" for number in shown]
    assert len(figure.axes) == 2 * len(shown)
    assert all(axes.get_ylim()[1] < 2 for axes in figure.axes)


def test_loss_curve_has_every_epoch(
    tmp_path: Path, drawn: list[Figure], observations: spiral.Observations
) -> None:
    figures.draw_loss(history(4, observations), tmp_path / "loss.png")
    (line,) = drawn[0].axes[0].lines
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(line.get_ydata()) == [1.0, 0.5, 0.25, 0.125, 0.0625]


def test_drawing_leaves_settings_alone(tmp_path: Path, observations: spiral.Observations) -> None:
    before = dict(matplotlib.rcParams)
    figures.draw_loss(history(2, observations), tmp_path / "loss.png")
    assert dict(matplotlib.rcParams) == before
