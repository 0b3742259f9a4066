"""Making the name `torchdiffeq` mean flashode."""

from flashode.compat.patching import Patch, patch_torchdiffeq, unpatch_torchdiffeq

__all__ = ["Patch", "patch_torchdiffeq", "unpatch_torchdiffeq"]
