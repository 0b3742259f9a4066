"""The latent ODE: its data, its bound, and that it learns."""

import math

import pytest
import torch

import flashode
from flashode.experiments import latent


def test_pieces_are_of_spirals_of_both_senses() -> None:
    spirals = latent.draw(200, torch.Generator().manual_seed(0))
    assert spirals.seen.shape == (200, latent.SEEN, 2)
    assert spirals.truth.shape == (200, latent.SEEN + latent.AHEAD, 2)
    assert len(spirals.later) == latent.SEEN + latent.AHEAD
    noise = spirals.seen - spirals.truth[:, : latent.SEEN]
    assert float(noise.std()) == pytest.approx(latent.NOISE, rel=0.05)
    x, y = spirals.truth[..., 0], spirals.truth[..., 1]
    turn = (x[:, :-1] * y[:, 1:] - y[:, :-1] * x[:, 1:]).sign()
    expected = torch.where(spirals.clockwise, -1.0, 1.0)
    assert torch.equal(turn, expected[:, None].expand_as(turn))
    assert 60 < int(spirals.clockwise.sum()) < 140
    radius = spirals.truth.norm(dim=-1)
    assert bool((radius.diff(dim=1) > 0).all())


def test_what_is_held_out_is_not_trained_on() -> None:
    trained = latent.draw(latent.SPIRALS, torch.Generator().manual_seed(5))
    assert not torch.isclose(trained.seen, latent.held_out(5).seen).all(-1).any()


def test_the_bound_is_that_of_a_model_that_knows_everything() -> None:
    """With a prediction that is the truth and a posterior that is the prior, only the noise is left."""
    spirals = latent.draw(100, torch.Generator().manual_seed(0))
    model = latent.make_model(0)
    model.encode = lambda seen: (torch.zeros(100, 4), torch.zeros(100, 4))  # type: ignore[method-assign]
    model.decode = lambda z, times: spirals.truth[:, : latent.SEEN].transpose(0, 1)  # type: ignore[method-assign]
    bound = latent.evidence(model, spirals, torch.arange(100), torch.Generator().manual_seed(0))
    numbers = 2 * latent.SEEN
    expected = -numbers * (0.5 + math.log(latent.NOISE * math.sqrt(2 * math.pi)))
    assert float(bound) == pytest.approx(expected, abs=0.03 * numbers)


def test_training_raises_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "UPDATES_PER_EPOCH", 15)
    training, test = latent.begin(0), latent.held_out(0)
    with flashode.use_engine("native"):
        history = list(latent.train(training, latent.data(0)[0], test, epochs=2))
        predicted = latent.predict(training.model, test)
    assert [epoch.number for epoch in history] == [0, 1, 2]
    assert history[-1].evidence > history[0].evidence
    assert history[-1].within < history[0].within
    assert predicted.shape == (latent.SPIRALS, latent.SEEN + latent.AHEAD, 2)
