"""The workloads of the benchmarks, and the reference answers."""
