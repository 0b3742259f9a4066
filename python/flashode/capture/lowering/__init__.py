"""From the graph of ATen operations to a Program and the prologue that makes its parameters."""
