"""The command `flashode spiral --noisy`."""

from __future__ import annotations

import statistics
from pathlib import Path

from flashode.experiments import noisy, page, results, spiral
from flashode.experiments.engine import Engine
from flashode.experiments.session import Session, session, tell


def run_noisy(engine: Engine, epochs: int, noise: float, out: Path, seed: int) -> None:
    """Trains both fields of one seed for the panels, then every variant over ten seeds."""
    with session("noisy spiral", out, engine) as own:
        histories, observations = _panels(own, epochs, noise, seed)
        found = _study(own, epochs, noise)
        tolerances = noisy.by_tolerance(noise, epochs)
        own.note(error_by_relative_tolerance={f"{rtol:g}": loss for rtol, loss in tolerances.items()})
        _report(own, found, epochs)
        _leave(own, histories, observations, found, tolerances, epochs, noise, seed)


def _panels(
    own: Session, epochs: int, noise: float, seed: int
) -> tuple[dict[str, list[spiral.Epoch]], spiral.Observations]:
    setting = noisy.setting_of(noise)
    histories: dict[str, list[spiral.Epoch]] = {}
    for field in noisy.FIELDS:
        histories[field] = []
        with own.bar(
            epochs=epochs, updates_per_epoch=setting.updates_per_epoch, title=f"noisy spiral, {field}"
        ) as bar:
            for epoch, observations, model in noisy.train(
                field, setting, seed, epochs=epochs, on_update=bar.update
            ):
                histories[field].append(epoch)
                own.note(
                    seed=seed,
                    noise=noise,
                    learning_rate=setting.learning_rate,
                    engine=results.engine_of(model, observations.states[0], observations.times),
                    loss={name: [past.loss for past in history] for name, history in histories.items()},
                )
    return histories, observations


def _study(own: Session, epochs: int, noise: float) -> list[noisy.Trial]:
    runs = len(noisy.VARIANTS) * len(noisy.SEEDS)
    updates = noisy.SETTING.updates_per_epoch * epochs
    found: list[noisy.Trial] = []
    with own.bar(epochs=runs, updates_per_epoch=updates, title="ten seeds, each variant") as bar:
        for trial in noisy.trials(noise, epochs, bar.update):
            found.append(trial)
            own.note(trials=[vars(one) | {"arrived": one.arrived} for one in found])
    return found


def _of(found: list[noisy.Trial], field: str, rate: float) -> list[noisy.Trial]:
    return [one for one in found if (one.field, one.rate) == (field, rate)]


def _median(some: list[noisy.Trial]) -> float:
    return statistics.median(one.losses[-1] for one in some)


def _report(own: Session, found: list[noisy.Trial], epochs: int) -> None:
    tell({"engine": str(own.metrics["engine"])})
    for field, rate in noisy.VARIANTS:
        some = _of(found, field, rate)
        arrived = f"{sum(one.arrived for one in some)} of {len(some)} seeds have the spiral"
        error = f"median error {_median(some):.1e} after {epochs} epochs"
        tell({field: f"learning rate {rate:g}: {arrived}, {error}"})


def _leave(
    own: Session,
    histories: dict[str, list[spiral.Epoch]],
    observations: spiral.Observations,
    found: list[noisy.Trial],
    tolerances: dict[float, float],
    epochs: int,
    noise: float,
    seed: int,
) -> None:
    from flashode.experiments.figures import noisy as figures  # matplotlib takes half a second to import

    rows = []
    for field, rate in noisy.VARIANTS:
        some = _of(found, field, rate)
        arrived = f"{sum(one.arrived for one in some)} of {len(some)}"
        rows.append((f"{field}, learning rate {rate:g}", arrived, f"{_median(some):.1e}"))
    pictures = [
        page.Figure(
            figures.draw_panels(field, history, observations, own.out / f"{name}.png"),
            f"The {field} after each of {epochs} epochs at learning rate {noisy.SETTING.learning_rate:g}.",
        )
        for name, (field, history) in zip(("layer", "perceptron"), histories.items(), strict=True)
    ]
    pictures += [
        page.Figure(
            figures.draw_seeds(found, own.out / "seeds.png"),
            "Error of the whole trajectory, without noise, after each epoch: ten seeds and their median.",
        ),
        page.Figure(
            figures.draw_reasons(noise, epochs, tolerances, own.out / "reasons.png"),
            "Why. How much each observation tells about A; how well all of them determine it at best; how "
            "far "
            "Adam can move a weight; and that the tolerance of the solver has no part in it.",
        ),
    ]
    own.leave(
        "A spiral under noise",
        "Dynamics that die away within a fifth of the time observed, and noise on every observation. A "
        "plain 2×2 layer was reported not to converge here at learning rate 0.001. It does not within these "
        "epochs: Adam moves a weight by the learning rate an update at most, and by less where most segments "
        "hold noise alone. A layer has to move its four weights by up to one, a perceptron many weights by a "
        "little each. At ten times the rate the layer arrives, and comes closer than the perceptron. The "
        "data is not the reason: its information about the matrix is well conditioned, and early ones "
        "hold all of it; nor is the solver's tolerance, from 1e-3 on.",
        page.Table(("", "seeds that have the spiral", "median squared error"), tuple(rows)),
        pictures,
        f"flashode spiral --noisy --noise {noise:g} --epochs {epochs} --seed {seed}",
    )
