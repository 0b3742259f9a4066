"""The command `flashode latent`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashode.experiments import latent, page, results
from flashode.experiments.commands.choices import EngineOption, OutOption, SeedOption
from flashode.experiments.engine import Engine
from flashode.experiments.session import Session, session, tell


def run(
    engine: EngineOption = Engine.auto,
    epochs: Annotated[
        int, typer.Option(min=1, help=f"Epochs to train, of {latent.UPDATES_PER_EPOCH} updates.")
    ] = latent.EPOCHS,
    out: OutOption = Path("results/latent"),
    seed: SeedOption = 0,
) -> None:
    """Learn spirals from noisy pieces by a latent ODE, and continue them."""
    with session("latent", out, engine) as own:
        model, history = _train(own, epochs, seed)
        first, last = history[0], history[-1]
        tell(
            {
                "engine": str(own.metrics["engine"]),
                "cost": f"{own.metrics['training_seconds']:.1f} s",
                "evidence": f"{first.evidence:,.0f} nats a piece before training, {last.evidence:,.0f} after "
                f"{epochs} epochs",
                "error": f"{last.within:.3f} where points were seen (noise {latent.NOISE} a coordinate), "
                f"{last.ahead:.3f} ahead of them",
            }
        )
        _leave(own, model, history, epochs, seed)


def _train(own: Session, epochs: int, seed: int) -> tuple[latent.LatentODE, list[latent.Epoch]]:
    model = latent.make_model(seed)
    z = torch.zeros(latent.BATCH, latent.LATENT)
    used = results.engine_of(model.dynamics, z, latent.held_out(seed).times)
    history: list[latent.Epoch] = []
    began = time.perf_counter()
    with own.bar(epochs=epochs, updates_per_epoch=latent.UPDATES_PER_EPOCH) as bar:
        for epoch in latent.train(model, epochs=epochs, seed=seed, on_update=bar.update):
            history.append(epoch)
            own.note(
                seed=seed,
                epochs=epoch.number,
                engine=used,
                evidence=[past.evidence for past in history],
                error_within=[past.within for past in history],
                error_ahead=[past.ahead for past in history],
                training_seconds=time.perf_counter() - began,
            )
    return model, history


def _leave(
    own: Session, model: latent.LatentODE, history: list[latent.Epoch], epochs: int, seed: int
) -> None:
    from flashode.experiments.figures import latent as figures  # matplotlib takes half a second to import

    first, last = history[0], history[-1]
    rows = (
        ("evidence, nats a piece", f"{first.evidence:,.0f}", f"{last.evidence:,.0f}"),
        ("error where points were seen", f"{first.within:.3f}", f"{last.within:.3f}"),
        ("error ahead of them", f"{first.ahead:.3f}", f"{last.ahead:.3f}"),
    )
    spirals = latent.held_out(seed)
    own.leave(
        "A latent ODE continues spirals",
        f"A recurrent network reads {latent.SEEN} noisy points of a spiral, of either sense, into a latent "
        "state that flows along a neural ODE; points are read out of it, also where none were seen. Errors "
        f"are root mean squares over spirals held out, without noise; the noise is {latent.NOISE} a "
        f"coordinate. Training took {own.metrics['training_seconds']:.1f} s.",
        page.Table(("", "before training", f"after {epochs} epochs"), rows),
        [
            page.Figure(
                figures.draw_spirals(spirals, latent.predict(model, spirals), own.out / "spirals.png"),
                "Spirals held out: the points seen, the truth, and the prediction, which goes on where "
                "none were seen.",
            ),
            page.Figure(
                figures.draw_errors(history, own.out / "errors.png"),
                "Errors of spirals held out after each epoch.",
            ),
        ],
        own.again("latent", epochs=epochs, seed=seed),
    )
