"""The benchmark suite: how fast, how much memory and how accurate, beside every peer that is installed.

A *workload* says what is solved, a *contender* is a library with one of its gradient modes, a *study* decides
which workloads meet which contenders, and a *record* is what one contender did with one workload. Everything
that is measured runs in a process of its own.
"""
