"""The command `flashode cnf`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashode.experiments import cnf, page, results
from flashode.experiments.commands import resuming
from flashode.experiments.commands.choices import (
    ENGINE,
    SEED,
    EngineOption,
    OutOption,
    ResumeOption,
    SeedOption,
)
from flashode.experiments.session import Command, Session, session, tell
from flashode.experiments.training import Training

_DENSITY = "density"  # the training's name in the file


def run(
    engine: EngineOption = ENGINE,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Epochs to train, of {cnf.UPDATES_PER_EPOCH} updates.", show_default=f"{cnf.EPOCHS}"
        ),
    ] = None,
    out: OutOption = Path("results/cnf"),
    seed: SeedOption = None,
    resume: ResumeOption = None,
) -> None:
    """Learn the density of two circles by a continuous normalizing flow."""
    earlier = resuming.Earlier.at(resume, "cnf")
    seed = earlier.settled("seed", seed, SEED)
    epochs = earlier.epochs(epochs, cnf.EPOCHS)
    training = cnf.begin(seed)
    earlier.restore(_DENSITY, training)
    history = earlier.history(cnf.Epoch)
    command = Command(("cnf",), out, engine, resume, {"epochs": epochs, "seed": seed})
    with session("cnf", command, metrics=earlier.saved.metrics) as own:
        _train(own, training, history, epochs, seed)
        best = float(cnf.true_log_density(cnf.held_out(seed)).mean())
        own.note(true_log_likelihood=best)
        tell(
            {
                "engine": str(own.metrics["engine"]),
                "cost": f"{own.metrics['training_seconds']:.1f} s",
                "fit": f"log-likelihood {history[0].log_likelihood:.3f} before training, "
                f"{history[-1].log_likelihood:.3f} after {epochs} epochs, of the true density {best:.3f}",
            }
        )
        own.leave(_page(own, training.model, history, best, seed))


def _train(
    own: Session, training: Training[cnf.Density], history: list[cnf.Epoch], epochs: int, seed: int
) -> None:
    """Adds to the history."""
    test = cnf.held_out(seed)
    own.note(
        engine=results.engine_of(training.model.velocity, test[: cnf.BATCH], torch.tensor([0.0, 1.0])),
    )
    seconds = own.metrics.get("training_seconds", 0.0) - time.perf_counter()
    with own.bar(
        unit="epoch", total=epochs, inner="update", each=cnf.UPDATES_PER_EPOCH, done=training.epoch
    ) as bar:
        for epoch in cnf.train(training, test, epochs=epochs, on_update=bar.update):
            history.append(epoch)
            own.note(
                epochs=epoch.number,
                log_likelihood=[past.log_likelihood for past in history],
                training_seconds=seconds + time.perf_counter(),
            )
            own.keep({_DENSITY: training}, {"epochs": [vars(past) for past in history]})


def _page(own: Session, density: cnf.Density, history: list[cnf.Epoch], best: float, seed: int) -> page.Page:
    from flashode.experiments.figures import cnf as figures  # matplotlib takes half a second to import

    rows = (
        ("log-likelihood before training, nats a point", f"{history[0].log_likelihood:.3f}"),
        (
            f"after {history[-1].number} epochs of {cnf.UPDATES_PER_EPOCH} updates",
            f"{history[-1].log_likelihood:.3f}",
        ),
        ("of the true density, the most there is", f"{best:.3f}"),
        ("seconds of training", f"{own.metrics['training_seconds']:.1f}"),
    )
    return page.Page(
        "A continuous normalizing flow learns two circles",
        "Points drawn from a normal distribution flow to the data; their density is known along the way, "
        "from the divergence of the flow, which is solved along with them in one compiled solve. Trained "
        f"by the likelihood of {cnf.BATCH} fresh points an update.",
        page.Table(("", "ours"), rows),
        [
            page.Figure(
                "flow.png",
                partial(figures.draw_flow, density, seed),
                "Normal draws on their way to the data, and the density that the flow has made of the "
                "normal one by then; on the right the data and their density.",
            ),
            page.Figure(
                "likelihood.png",
                partial(figures.draw_likelihood, history, best),
                "Mean log-likelihood of points held out after each epoch.",
            ),
        ],
    )
