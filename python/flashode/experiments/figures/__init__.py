"""The figures of the experiments, drawn with matplotlib."""
