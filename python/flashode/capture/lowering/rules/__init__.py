"""How each ATen operation becomes Program operations, by name."""

from flashode.capture.lowering.rules.activation_gradients import ACTIVATION_GRADIENTS
from flashode.capture.lowering.rules.activations import ACTIVATIONS
from flashode.capture.lowering.rules.attention import ATTENTION
from flashode.capture.lowering.rules.comparisons import COMPARISONS
from flashode.capture.lowering.rules.context import Rule
from flashode.capture.lowering.rules.convolution import CONVOLUTION
from flashode.capture.lowering.rules.elementwise import ELEMENTWISE
from flashode.capture.lowering.rules.filled import FILLED, FILLS
from flashode.capture.lowering.rules.indexing import INDEXING
from flashode.capture.lowering.rules.losses import LOSSES
from flashode.capture.lowering.rules.normalisation import NORMALISATION
from flashode.capture.lowering.rules.placement import PLACEMENT
from flashode.capture.lowering.rules.products import PRODUCTS
from flashode.capture.lowering.rules.reductions import REDUCTIONS
from flashode.capture.lowering.rules.rounding import ROUNDING
from flashode.capture.lowering.rules.softmax import SOFTMAX
from flashode.capture.lowering.rules.structure import STRUCTURE
from flashode.capture.lowering.rules.tables import TABLES

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
    **TABLES,
    **PLACEMENT,
    **FILLED,
    **FILLS,
}

# An element of the result depends on the elements that face it alone.
POINTWISE = frozenset({*ELEMENTWISE, *ROUNDING, *COMPARISONS, *ACTIVATIONS}) - {"glu"}

__all__ = ["FILLED", "INDEXING", "POINTWISE", "RULES", "STRUCTURE", "TABLES"]
