"""What is solved in the benchmarks, and what the right answers are."""
