"""SigGPDE on real time series: ``python -m experiments --help``. Run from a checkout; not part of the package."""
