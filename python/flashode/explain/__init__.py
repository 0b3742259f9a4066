"""Why a solve runs where it runs."""

from flashode.explain.explanation import Explanation
from flashode.explain.face import explain

__all__ = ["Explanation", "explain"]
