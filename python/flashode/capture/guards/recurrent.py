"""What need not be watched of torch's recurrent modules."""

from __future__ import annotations

from torch import nn


def unread(module: nn.Module) -> tuple[str, ...]:
    """Attributes that change nothing of what a module computes: references by which it notices new weights.

    It would read its weights again, into the list that it hands to torch. Both are watched: where the list
    holds the weights themselves it makes no difference whether it does.
    """
    if not isinstance(module, nn.RNNBase):
        return ()
    weights, names = module.__dict__.get("_flat_weights"), module.__dict__.get("_flat_weights_names")
    if type(weights) is not list or type(names) is not list or len(weights) != len(names):
        return ()
    own = module.__dict__["_parameters"]
    held = all(own.get(name) is weight for name, weight in zip(names, weights, strict=True))
    return ("_flat_weight_refs",) if held else ()
