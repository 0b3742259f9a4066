"""When a capture is compared with the function that it was made from."""

from typing import Literal

Verify = Literal["first", "always", "never"]
