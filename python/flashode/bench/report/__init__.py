"""What was measured, as a reader sees it."""
