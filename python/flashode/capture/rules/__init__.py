"""How each ATen operation becomes Program operations, by name."""

from flashode.capture.rules.activation_gradients import ACTIVATION_GRADIENTS
from flashode.capture.rules.activations import ACTIVATIONS
from flashode.capture.rules.attention import ATTENTION
from flashode.capture.rules.comparisons import COMPARISONS
from flashode.capture.rules.context import Rule
from flashode.capture.rules.convolution import CONVOLUTION
from flashode.capture.rules.elementwise import ELEMENTWISE
from flashode.capture.rules.filled import FILLED, FILLS
from flashode.capture.rules.indexing import INDEXING
from flashode.capture.rules.losses import LOSSES
from flashode.capture.rules.normalisation import NORMALISATION
from flashode.capture.rules.placement import PLACEMENT
from flashode.capture.rules.products import PRODUCTS
from flashode.capture.rules.reductions import REDUCTIONS
from flashode.capture.rules.rounding import ROUNDING
from flashode.capture.rules.softmax import SOFTMAX
from flashode.capture.rules.structure import STRUCTURE

RULES: dict[str, Rule] = {
    **ELEMENTWISE,
    **ROUNDING,
    **COMPARISONS,
    **ACTIVATIONS,
    **ACTIVATION_GRADIENTS,
    **REDUCTIONS,
    **SOFTMAX,
    **NORMALISATION,
    **PRODUCTS,
    **CONVOLUTION,
    **ATTENTION,
    **LOSSES,
    **STRUCTURE,
    **INDEXING,
    **PLACEMENT,
    **FILLED,
    **FILLS,
}

# An element of the result depends on the elements that face it alone.
POINTWISE = frozenset({*ELEMENTWISE, *ROUNDING, *COMPARISONS, *ACTIVATIONS}) - {"any", "all", "glu"}

__all__ = ["FILLED", "INDEXING", "POINTWISE", "RULES", "STRUCTURE"]
