"""The figures show the epochs they are given, and draw nothing out of bounds."""

from itertools import pairwise
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flashode.experiments import cnf, latent, noisy, poisson, spiral
from flashode.experiments.figures import cnf as cnf_figures
from flashode.experiments.figures import latent as latent_figures
from flashode.experiments.figures import noisy as noisy_figures
from flashode.experiments.figures import poisson as poisson_figures
from flashode.experiments.figures import spiral as figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved while the test runs, of few pixels."""
    monkeypatch.setattr(cnf_figures, "_PIXELS", 8)
    monkeypatch.setattr(cnf_figures, "_POINTS", 8)
    argv: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        argv.append(figure)
        save(figure, *args, **kwargs, dpi=20)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return argv


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


@pytest.mark.parametrize("picture", ["plain", "noisy"])
def test_the_truth_is_a_curve(
    tmp_path: Path, drawn: list[Figure], observations: spiral.Observations, picture: str
) -> None:
    """A line through only the observations would be a polygon."""
    if picture == "plain":
        figures.draw_trajectories(history(5, observations), observations, tmp_path / "panels.png")
        expected = 3  # of the plane, of both coordinates
    else:
        noisy_figures.draw_panels("layer", history(1, observations), observations, tmp_path / "panels.png")
        expected = 1
    lines = [line for axes in drawn[0].axes for line in axes.lines if line.get_color() == figures.TRUTH]
    curves = [line for line in lines if line.get_linestyle() != "None"]
    assert len(curves) == expected
    assert {len(line.get_xdata()) for line in curves} == {len(observations.fine_times)}


def _recipe(scale: float) -> dict[int, torch.Tensor]:
    return {number: scale * number * torch.ones(33, 33).double() for number in poisson.PANEL_STEPS}


def test_potentials_are_on_one_scale_of_colours(tmp_path: Path, drawn: list[Figure]) -> None:
    exact = -0.1 * torch.rand(33, 33, dtype=torch.float64)
    panels = {"one": _recipe(10.0), "other": _recipe(0.001)}
    poisson_figures.draw_panels(panels, exact, tmp_path / "panels.png")
    poisson_figures.draw_error(exact + 1e-5, exact, tmp_path / "error.png")
    panels_drawn, error_drawn = drawn
    scales = _scales(panels_drawn)
    assert len(scales) == 10
    assert len(set(scales)) == 1
    assert scales[0][0] < float(exact.min()) and scales[0][1] == -scales[0][0]
    assert len(panels_drawn.axes) == 11  # with one bar of colours
    *potentials, difference = _scales(error_drawn)
    assert set(potentials) == set(scales)
    assert difference == pytest.approx((-1e-5, 1e-5))


def _scales(figure: Figure) -> list[tuple[float, float]]:
    images = [image for axes in figure.axes for image in axes.collections if axes.get_title(loc="left")]
    return [image.get_clim() for image in images]


def test_the_flow_leaves_no_hole(
    tmp_path: Path, drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cnf_figures, "_PIXELS", 8)
    monkeypatch.setattr(cnf_figures, "_POINTS", 8)
    cnf_figures.draw_flow(cnf.make_density(0), 0, tmp_path / "flow.png")
    *panels, _ = drawn[0].axes
    assert len(panels) == 2 * (len(cnf.PANEL_TIMES) + 1)
    assert all(axes.lines or axes.images for axes in panels)
    places = {axes.get_subplotspec().num1 for axes in panels}
    assert places == set(range(len(panels)))  # every place of the grid
    assert {image.get_clim() for axes in panels for image in axes.images} == {panels[-1].images[0].get_clim()}


def _all(path: Path, observations: spiral.Observations) -> None:
    """Every picture that an experiment leaves, with numbers of many orders."""
    epochs = history(9, observations)
    figures.draw_trajectories(epochs, observations, path)
    figures.draw_loss(epochs, path)
    noisy_figures.draw_panels("layer", epochs, observations, path)
    losses = (1e4, 1e-1, 1e-7)
    trials = [noisy.Trial(name, 0, rate, losses) for name, rate in noisy.VARIANTS]
    noisy_figures.draw_seeds(trials, path)
    ways = [noisy.Way(rate, level, losses) for rate in noisy.RATES for level in (0.01, 0.0)]
    errors = {rate: dict.fromkeys(noisy.TOLERANCES, rate) for rate in noisy.RATES}
    noisy_figures.draw_reasons(0.01, ways, errors, path)
    exact = torch.rand(33, 33, dtype=torch.float64)
    poisson_figures.draw_panels({"one": _recipe(1.0)}, exact, path)
    poisson_figures.draw_error(exact, exact + 1e-5, path)
    steps = [poisson.Step(number, 10.0 ** (9 - number), 1.0) for number in range(12)]
    poisson_figures.draw_convergence({"one": [steps], "other": [steps]}, [1.0, 1e-4], path)
    cnf_figures.draw_flow(cnf.make_density(0), 0, path)
    cnf_figures.draw_likelihood([cnf.Epoch(0, -3.0), cnf.Epoch(1, -2.0)], -1.0, path)
    spirals = latent.draw(20, torch.Generator().manual_seed(0))
    latent_figures.draw_spirals(spirals, spirals.truth, path)
    latent_figures.draw_errors([latent.Epoch(0, -1.0, 1.0, 2.0), latent.Epoch(1, -1.0, 0.02, 0.1)], path)


def test_ticks_can_be_read(tmp_path: Path, drawn: list[Figure], observations: spiral.Observations) -> None:
    """Every axis has a few, and no label lies on its neighbour."""
    _all(tmp_path / "picture.png", observations)
    for number, figure in enumerate(drawn):
        renderer = FigureCanvasAgg(figure).get_renderer()
        for axes in figure.axes:
            for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
                low, high = sorted(axis.get_view_interval())
                labels = [
                    label
                    for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=False)
                    if label.get_text() and label.get_visible() and low <= place <= high
                ]
                boxes = [label.get_window_extent(renderer) for label in labels]
                place = f"figure {number}, {axes.get_title(loc='left')!r}, {axis.axis_name}"
                assert len(labels) <= 10, place
                ends = sorted((box.min[side], box.max[side]) for box in boxes)
                for (_, end), (begin, _) in pairwise(ends):
                    assert end < begin, place
                if axes.get_title(loc="left"):
                    assert len(axis.get_ticklocs()) >= 2, place
