"""The command `flashode spiral --noisy`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

import flashode
from flashode.experiments import noisy, page, results, spiral
from flashode.experiments.commands import resuming
from flashode.experiments.commands.choices import SEED
from flashode.experiments.noisy import Trial, Way
from flashode.experiments.published import CITATION
from flashode.experiments.session import Command, Session, session, tell
from flashode.experiments.training import Training

_Trainings = dict[str, Training[nn.Module]]


@dataclass
class Findings:
    """The results so far, with which a next run goes on.

    Attributes:
        epochs: By model, each epoch of the seed that is drawn.
        trials: Of every variant and seed.
        ways: Of the layer.
        errors: Of the layer, by learning rate and relative tolerance.
    """

    epochs: dict[str, list[spiral.Epoch]] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    errors: dict[float, dict[float, float]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain values and tensors."""
        return {
            "epochs": {name: [vars(epoch) for epoch in history] for name, history in self.epochs.items()},
            "trials": [vars(trial) for trial in self.trials],
            "ways": [vars(way) for way in self.ways],
            "errors": self.errors,
        }

    @staticmethod
    def of(plain: dict[str, Any], *, whole: bool) -> Findings:
        """What `plain` gave; of what was trained for other epochs than are to be now, nothing.

        Args:
            plain: May be empty.
            whole: Whether trials and errors are taken too: they are of as many epochs.
        """
        findings = Findings()
        for name, history in plain.get("epochs", {}).items():
            findings.epochs[name] = [spiral.Epoch(**epoch) for epoch in history]
        findings.ways = [Way(**way) for way in plain.get("ways", [])]
        if whole:
            findings.trials = [Trial(**trial) for trial in plain.get("trials", [])]
            findings.errors = plain.get("errors", {})
        return findings


def run_noisy(
    engine: str, epochs: int | None, noise: float | None, out: Path, seed: int | None, resume: Path | None
) -> None:
    """Trains both fields of one seed for the panels, then every variant over ten seeds."""
    earlier = resuming.Earlier.at(resume, "noisy spiral")
    noise = earlier.settled("noise", noise, noisy.NOISE)
    seed = earlier.settled("seed", seed, SEED)
    epochs = earlier.epochs(epochs, noisy.EPOCHS)
    setting = noisy.setting_of(noise)
    trainings = {name: noisy.begin(name, setting, seed) for name in noisy.FIELDS}
    for name, training in trainings.items():
        earlier.restore(name, training)
    findings = earlier.restored(partial(Findings.of, whole=earlier.saved.settings.get("epochs") == epochs))
    settings = {"epochs": epochs, "noise": noise, "seed": seed}
    command = Command(("spiral", "--noisy"), out, engine, resume, settings)
    with session("noisy spiral", command, metrics=earlier.saved.metrics) as own:
        study = _Study(own, trainings, findings, epochs, noise)
        observations = spiral.observe(setting, seed)
        study.train(observations, setting)
        study.try_seeds()
        study.follow_ways()
        study.try_tolerances()
        own.note(bound_of_an_entry=noise * float(noisy.information().bounds[-1]))
        _report(own, findings.trials, epochs)
        own.leave(_page(findings, observations, epochs, noise))


@dataclass(frozen=True)
class _Study:
    """The phases, each of which adds its results to the findings and saves them.

    Attributes:
        own: The session.
        trainings: Of the seed that is drawn, by model.
        findings: The results so far.
        epochs: Of everything but the ways.
        noise: Of the observations.
    """

    own: Session
    trainings: _Trainings
    findings: Findings
    epochs: int
    noise: float

    def keep(self, **metrics: object) -> None:
        """Writes both files."""
        self.own.note(**metrics)
        self.own.keep(self.trainings, self.findings.plain())

    def train(self, observations: spiral.Observations, setting: spiral.Setting) -> None:
        """Both models, of the seed that is drawn."""
        for name, training in self.trainings.items():
            used = results.engine_of(training.model, observations.states[0], observations.times)
            self.own.note(engine=used, learning_rate=setting.learning_rate, published={"source": CITATION})
            history = self.findings.epochs.setdefault(name, [])
            with self.own.bar(
                unit="epoch",
                total=self.epochs,
                inner="update",
                each=setting.updates_per_epoch,
                done=training.epoch,
                title=name,
            ) as bar:
                for epoch in spiral.train(
                    training,
                    observations,
                    epochs=self.epochs,
                    solve=flashode.odeint,
                    setting=setting,
                    on_update=bar.update,
                ):
                    history.append(epoch)
                    losses = {
                        one: [past.loss for past in epochs] for one, epochs in self.findings.epochs.items()
                    }
                    self.keep(loss=losses)

    def try_seeds(self) -> None:
        """Every variant from every seed."""
        for name, rate in noisy.VARIANTS:
            had = len(_of(self.findings.trials, name, rate))
            with self.own.bar(
                unit="seed",
                total=len(noisy.SEEDS),
                inner="update",
                each=self.epochs * noisy.SETTING.updates_per_epoch,
                done=had,
                title=f"{name}, {rate:g}",
            ) as bar:
                for seed in noisy.SEEDS[had:]:
                    trial = noisy.trial(
                        name, rate, seed, noise=self.noise, epochs=self.epochs, on_update=bar.update
                    )
                    self.findings.trials.append(trial)
                    self.keep(trials=[vars(one) | {"arrived": one.arrived} for one in self.findings.trials])

    def follow_ways(self) -> None:
        """The layer's ways to the true matrix, at both rates, under the noise and under none."""
        wanted = [(rate, level) for rate in noisy.RATES for level in dict.fromkeys((self.noise, 0.0))]
        ways = self.findings.ways
        with self.own.bar(
            unit="way",
            total=len(wanted),
            inner="update",
            each=noisy.LONG * noisy.SETTING.updates_per_epoch,
            done=len(ways),
            title="ways to A",
        ) as bar:
            for rate, level in wanted[len(ways) :]:
                ways.append(noisy.way(rate, level, bar.update))
                self.keep(largest_error_of_an_entry=[vars(way) for way in ways])

    def try_tolerances(self) -> None:
        """The layer's error where training solves to other tolerances."""
        wanted = [(rate, rtol) for rate in noisy.RATES for rtol in noisy.TOLERANCES]
        errors = self.findings.errors
        had = sum(map(len, errors.values()))
        with self.own.bar(
            unit="run",
            total=len(wanted),
            inner="update",
            each=self.epochs * noisy.SETTING.updates_per_epoch,
            done=had,
            title="tolerances",
        ) as bar:
            for rate, rtol in wanted[had:]:
                errors.setdefault(rate, {})[rtol] = noisy.error_at(
                    rtol, rate, noise=self.noise, epochs=self.epochs, on_update=bar.update
                )
                self.keep(error_by_rate_and_relative_tolerance=errors)


def _of(trials: list[Trial], field: str, rate: float) -> list[Trial]:
    return [one for one in trials if (one.field, one.rate) == (field, rate)]


def _median(some: list[Trial]) -> float:
    return statistics.median(one.losses[-1] for one in some)


def _conclusion(findings: Findings, epochs: int) -> str:
    """The results, in words."""
    each = []
    for name, rate in noisy.VARIANTS:
        some = _of(findings.trials, name, rate)
        arrived = sum(one.arrived for one in some)
        each.append(f"{arrived} of {len(some)} seeds of the {name} at learning rate {rate:g}")
    slow = findings.ways[0]
    way = ", ".join(
        f"{slow.distances[epoch]:.2g} after {epoch} epochs" for epoch in (noisy.EPOCHS, noisy.LONG)
    )
    return (
        f"After {epochs} epochs the spiral is had by {', '.join(each[:-1])}, and {each[-1]}. At the rate "
        f"{slow.rate:g} the largest error of an entry of the layer's matrix, of seed 0, is {way}."
    )


def _report(own: Session, trials: list[Trial], epochs: int) -> None:
    tell({"engine": str(own.metrics["engine"])})
    for name, rate in noisy.VARIANTS:
        some = _of(trials, name, rate)
        arrived = f"{sum(one.arrived for one in some)} of {len(some)} seeds have the spiral"
        error = f"median error {_median(some):.1e} after {epochs} epochs"
        tell({name: f"learning rate {rate:g}: {arrived}, {error}"})


def _page(findings: Findings, observations: spiral.Observations, epochs: int, noise: float) -> page.Page:
    from flashode.experiments.figures import noisy as figures  # matplotlib takes half a second to import

    rows = []
    for name, rate in noisy.VARIANTS:
        some = _of(findings.trials, name, rate)
        arrived = f"{sum(one.arrived for one in some)} of {len(some)}"
        rows.append((f"{name}, learning rate {rate:g}", arrived, f"{_median(some):.1e}"))
    pictures = [
        page.Figure(
            f"{file}.png",
            partial(figures.draw_panels, name, history, observations),
            f"The {name} at learning rate {noisy.SETTING.learning_rate:g}, after each epoch, or nine of "
            f"{epochs}.",
        )
        for file, (name, history) in zip(("layer", "perceptron"), findings.epochs.items(), strict=True)
    ]
    pictures += [
        page.Figure(
            "seeds.png",
            partial(figures.draw_seeds, findings.trials),
            "Error of the whole trajectory, without noise, after each epoch: ten seeds and their median.",
        ),
        page.Figure(
            "reasons.png",
            partial(figures.draw_reasons, noise, findings.ways, findings.errors),
            "Reasons. How much each observation tells about A; how well all of them determine an entry at "
            "best; the layer's way to A at both rates, with noise and without, over more epochs; and its "
            "error by the tolerance of the solver.",
        ),
    ]
    return page.Page(
        "A spiral under noise",
        f"Dynamics of which a fortieth is left after a fifth of the time observed, and noise of {noise:g} on "
        f"every observation, at the learning rate {noisy.SETTING.learning_rate:g}: {CITATION}, has a "
        f"perceptron that learns it and a 2×2 layer that does not. {_conclusion(findings, epochs)} By Cramér "
        "and Rao no unbiased estimate of an entry of A from these observations has a standard deviation "
        f"below {noise * float(noisy.information().bounds[-1]):.1g}.",
        page.Table(("", "seeds that have the spiral", "median squared error"), tuple(rows)),
        pictures,
    )
