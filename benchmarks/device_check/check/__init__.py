"""What a machine with a GPU runs to check and time the CUDA kernels: it needs Python 3.10 and numpy, and its driver."""
