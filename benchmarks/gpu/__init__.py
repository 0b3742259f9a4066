"""The CUDA engine on a GPU: every check and every measurement, by one command.

python -m benchmarks.gpu --out DIR
"""
