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
        ways = noisy.ways(noise)
        rates = dict.fromkeys(rate for _, rate in noisy.VARIANTS)
        tolerances = {rate: noisy.by_tolerance(noise, rate, epochs) for rate in rates}
        own.note(
            error_by_rate_and_relative_tolerance=tolerances,
            largest_error_of_an_entry=[vars(way) for way in ways],
            bound_of_an_entry=noise * float(noisy.information().bounds[-1]),
        )
        _report(own, found, epochs)
        _leave(own, histories, observations, found, ways, tolerances, epochs, noise, seed)


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


def _conclusion(found: list[noisy.Trial], ways: list[noisy.Way], epochs: int) -> str:
    """What was found, in words."""
    each = []
    for field, rate in noisy.VARIANTS:
        some = _of(found, field, rate)
        arrived = sum(one.arrived for one in some)
        each.append(f"{arrived} of {len(some)} seeds of the {field} at learning rate {rate:g}")
    slow = ways[0]
    way = ", ".join(
        f"{slow.distances[epoch]:.2g} after {epoch} epochs" for epoch in (noisy.EPOCHS, noisy.LONG)
    )
    return (
        f"After {epochs} epochs the spiral is had by {', '.join(each[:-1])}, and {each[-1]}. At the rate "
        f"{slow.rate:g} the largest error of an entry of the layer's matrix, of seed 0, is {way}."
    )


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
    ways: list[noisy.Way],
    tolerances: dict[float, dict[float, float]],
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
            f"The {field} at learning rate {noisy.SETTING.learning_rate:g}, after each epoch, or nine of "
            f"{epochs}.",
        )
        for name, (field, history) in zip(("layer", "perceptron"), histories.items(), strict=True)
    ]
    pictures += [
        page.Figure(
            figures.draw_seeds(found, own.out / "seeds.png"),
            "Error of the whole trajectory, without noise, after each epoch: ten seeds and their median.",
        ),
        page.Figure(
            figures.draw_reasons(noise, ways, tolerances, own.out / "reasons.png"),
            "Reasons. How much each observation tells about A; how well all of them determine an entry at "
            "best; the layer's way to A at both rates, with noise and without, over more epochs; and its "
            "error by the tolerance of the solver.",
        ),
    ]
    own.leave(
        "A spiral under noise",
        f"Dynamics of which a fortieth is left after a fifth of the time observed, and noise of {noise:g} on "
        f"every observation. {_conclusion(found, ways, epochs)} By Cramér and Rao no unbiased estimate of an "
        f"entry of A from these observations has a standard deviation below "
        f"{noise * float(noisy.information().bounds[-1]):.1g}.",
        page.Table(("", "seeds that have the spiral", "median squared error"), tuple(rows)),
        pictures,
        own.again("spiral --noisy", noise=noise, epochs=epochs, seed=seed),
    )
