"""What was measured: records, their file, and how two files compare."""
