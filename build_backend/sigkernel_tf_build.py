"""The build backend: setuptools', which asks for NVIDIA's compiler where SIGKERNEL_TF_CUDA=pypi says so."""

import os

from cmake_build import CUDA_REQUIREMENTS
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - a backend's hooks


def _cuda_requirements() -> list[str]:
    return CUDA_REQUIREMENTS if os.environ.get("SIGKERNEL_TF_CUDA") == "pypi" else []


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _cuda_requirements()


def get_requires_for_build_editable(config_settings: dict | None = None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _cuda_requirements()
