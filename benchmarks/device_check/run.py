"""Checks and times the CUDA kernels on this machine's GPU, by Python 3.10, numpy and NVIDIA's driver: ``--help``."""

import sys

from check.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
