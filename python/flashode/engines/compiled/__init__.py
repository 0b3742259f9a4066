"""What every compiled engine shares."""
