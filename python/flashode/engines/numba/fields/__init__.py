"""A Program as machine code: its text, and the functions and products that it calls."""
