"""Published measurements of flashode, and the benchmarks as tests."""
