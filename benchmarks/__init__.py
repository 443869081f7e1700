"""Measurements against the peers, alternately in one process: ``python -m benchmarks.kernel``."""
