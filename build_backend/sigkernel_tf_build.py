"""The build backend: setuptools', which asks for NVIDIA's compiler where SIGKERNEL_TF_CUDA=pypi says so."""

import os

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - a backend's hooks

# Of one release: mixed ones do not work together.
CUDA_REQUIREMENTS = [
    f"nvidia-{name}==13.0.*" for name in ("cuda-nvcc", "nvvm", "cuda-crt", "cuda-runtime", "cuda-cccl")
]


def _cuda_requirements() -> list[str]:
    return CUDA_REQUIREMENTS if os.environ.get("SIGKERNEL_TF_CUDA") == "pypi" else []


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _cuda_requirements()


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _cuda_requirements()
