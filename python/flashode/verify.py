"""When the compiled form of a function is compared with the function itself."""

from typing import Literal

Verify = Literal["first", "always", "never"]
