"""Whether a capture still describes its function: what the function hangs on, and checks of it."""
