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
from flashode.capture.lowering.rules.linear_algebra import LINEAR_ALGEBRA
from flashode.capture.lowering.rules.losses import LOSSES
from flashode.capture.lowering.rules.matrix_exponential import MATRIX_EXPONENTIAL
from flashode.capture.lowering.rules.normalisation import NORMALISATION
from flashode.capture.lowering.rules.placement import PLACEMENT
from flashode.capture.lowering.rules.products import PRODUCTS
from flashode.capture.lowering.rules.recurrence import RECURRENCE
from flashode.capture.lowering.rules.reductions import REDUCTIONS
from flashode.capture.lowering.rules.rounding import ROUNDING
from flashode.capture.lowering.rules.scattering import SCATTERING
from flashode.capture.lowering.rules.softmax import SOFTMAX
from flashode.capture.lowering.rules.sorting import SORTING
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
    **LINEAR_ALGEBRA,
    **MATRIX_EXPONENTIAL,
    **SORTING,
    **CONVOLUTION,
    **ATTENTION,
    **RECURRENCE,
    **LOSSES,
    **STRUCTURE,
    **INDEXING,
    **TABLES,
    **SCATTERING,
    **PLACEMENT,
    **FILLED,
    **FILLS,
}

# An element of the result depends on the elements that face it alone.
POINTWISE = frozenset({*ELEMENTWISE, *ROUNDING, *COMPARISONS, *ACTIVATIONS}) - {"glu"}

# Integers among their results are numbers of rows or elements, which every dtype of a state holds.
NUMBERING = frozenset({*LINEAR_ALGEBRA, *SORTING})

__all__ = ["FILLED", "INDEXING", "NUMBERING", "POINTWISE", "RULES", "STRUCTURE", "TABLES"]
