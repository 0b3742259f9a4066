"""From a function to the ATen operations that it performs, and to one graph for every batch size."""
