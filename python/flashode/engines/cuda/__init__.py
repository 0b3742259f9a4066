"""The CUDA engine: whole solves in kernels that are generated for a Program and compiled at run time."""
