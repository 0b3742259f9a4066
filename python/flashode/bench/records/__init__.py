"""Measurements: records, their file, and the comparison of two files."""
