"""What engines share that generate code for a Program."""
