"""Whether a capture still describes its function: what the function depends on, and checks of it."""
