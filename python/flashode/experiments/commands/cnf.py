"""The command `flashode cnf`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashode.experiments import cnf, page, results
from flashode.experiments.commands.choices import EngineOption, OutOption, SeedOption
from flashode.experiments.engine import Engine
from flashode.experiments.session import Session, session, tell


def run(
    engine: EngineOption = Engine.auto,
    epochs: Annotated[
        int, typer.Option(min=1, help=f"Epochs to train, of {cnf.UPDATES_PER_EPOCH} updates.")
    ] = cnf.EPOCHS,
    out: OutOption = Path("results/cnf"),
    seed: SeedOption = 0,
) -> None:
    """Learn the density of two circles by a continuous normalizing flow."""
    with session("cnf", out, engine) as own:
        density, history = _train(own, epochs, seed)
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
        _leave(own, density, history, best, epochs, seed)


def _train(own: Session, epochs: int, seed: int) -> tuple[cnf.Density, list[cnf.Epoch]]:
    density = cnf.make_density(seed)
    used = results.engine_of(density.velocity, cnf.held_out(seed)[: cnf.BATCH], torch.tensor([0.0, 1.0]))
    history: list[cnf.Epoch] = []
    began = time.perf_counter()
    with own.bar(epochs=epochs, updates_per_epoch=cnf.UPDATES_PER_EPOCH) as bar:
        for epoch in cnf.train(density, epochs=epochs, seed=seed, on_update=bar.update):
            history.append(epoch)
            own.note(
                seed=seed,
                epochs=epoch.number,
                engine=used,
                log_likelihood=[past.log_likelihood for past in history],
                training_seconds=time.perf_counter() - began,
            )
    return density, history


def _leave(
    own: Session, density: cnf.Density, history: list[cnf.Epoch], best: float, epochs: int, seed: int
) -> None:
    from flashode.experiments.figures import cnf as figures  # matplotlib takes half a second to import

    rows = (
        ("log-likelihood before training, nats a point", f"{history[0].log_likelihood:.3f}"),
        (f"after {epochs} epochs of {cnf.UPDATES_PER_EPOCH} updates", f"{history[-1].log_likelihood:.3f}"),
        ("of the true density, the most there is", f"{best:.3f}"),
        ("seconds of training", f"{own.metrics['training_seconds']:.1f}"),
    )
    own.leave(
        "A continuous normalizing flow learns two circles",
        "Points drawn from a normal distribution flow to the data; their density is known along the way, "
        "from the divergence of the flow, which is solved along with them in one compiled solve. Trained "
        f"by the likelihood of {cnf.BATCH} fresh points an update.",
        page.Table(("", "ours"), rows),
        [
            page.Figure(
                figures.draw_flow(density, seed, own.out / "flow.png"),
                "Normal draws on their way to the data, and the density that the flow makes of the normal "
                "one.",
            ),
            page.Figure(
                figures.draw_likelihood(history, best, own.out / "likelihood.png"),
                "Mean log-likelihood of points held out after each epoch.",
            ),
        ],
        own.again("cnf", epochs=epochs, seed=seed),
    )
