"""Argument checks, and names for their errors, that several modules of this package share."""

from typing import Any

import numpy as np
from gpflow.base import Parameter, TensorData
from gpflow.config import default_float
from gpflow.inducing_variables import InducingVariables, MultioutputInducingVariables
from gpflow.kernels import Kernel, LinearCoregionalization, MultioutputKernel
from gpflow.likelihoods import Likelihood, ScalarLikelihood
from gpflow.models import SVGP, GPModel
from gpflow.utilities import positive

from sigkernel_tf._arguments import check_unmasked


def positive_parameter(value: TensorData, name: str) -> Parameter:
    """
    A trainable parameter of positive numbers, of any shape.

    :raises TypeError: for anything but numbers.
    :raises ValueError: for numbers that are not positive and finite, and for masked ones.
    """
    check_unmasked(value, name)
    numbers = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}: for instance {name}=1.0.")
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"{name} must be positive and finite, got {numbers.tolist()}: for instance {name}=1.0.")
    if isinstance(value, (np.generic, np.ndarray)):  # TensorFlow does not know all of NumPy's floats
        value = numbers.astype(default_float())
    return Parameter(value, transform=positive())


def one_or_each(value: TensorData, name: str, num_channels: int) -> Parameter:
    """
    A trainable parameter of one positive number, or of one for each channel.

    :raises ValueError: for any other shape.
    """
    parameter = positive_parameter(value, name)
    if list(parameter.shape) not in ([], [num_channels]):
        raise ValueError(
            f"{name} must be a scalar or have shape [{num_channels}], one for each channel, got shape "
            f"{parameter.shape}."
        )
    return parameter


def check_rows(X: Any, name: str) -> None:
    """
    Refuses what is not one set of rows [N, W], where leading batch dimensions have no meaning.

    Above all this refuses paths [N, L, D] that were not flattened, which a kernel would take for N sets of paths.

    :raises ValueError: for a rank other than 2.
    """
    shape = tuple(X.shape) if hasattr(X, "shape") else np.shape(X)
    if len(shape) != 2:
        raise ValueError(
            f"{name} must have rank 2, (rows, columns), got shape {shape}: paths (N, L, D) take flatten_paths({name}), "
            f"a single row takes {name}[None]."
        )


def described(kernel: Any) -> str:
    """The name of a kernel, for an error: its class, what it is made of, and its static kernel if it has one."""
    if not isinstance(kernel, Kernel):
        return repr(kernel)
    name = type(kernel).__name__
    if hasattr(kernel, "kernels"):
        return f"{name} of {', '.join(type(part).__name__ for part in kernel.kernels)}"
    if getattr(kernel, "static_kernel", None) is not None:
        return f"{name} with static_kernel={described(kernel.static_kernel)}"
    return name


def check_num_latents(kernel: Kernel, inducing_variable: InducingVariables, q_mu: Any) -> None:
    """
    Check that q(u) has a process for each latent process of a multioutput kernel.

    Where it has not, TensorFlow would broadcast one process to several kernels, and GPflow would predict too few
    outputs. Only inducing variables in one of GPflow's wrappers have a column of q_mu for each latent process.

    :param q_mu: [M, L].
    :raises ValueError: where the numbers differ, and where a LinearCoregionalization has another number of kernels than
        its W has columns.
    """
    if not (isinstance(kernel, MultioutputKernel) and isinstance(inducing_variable, MultioutputInducingVariables)):
        return
    expected, found = kernel.num_latent_gps, q_mu.shape[-1]
    if isinstance(kernel, LinearCoregionalization) and len(kernel.kernels) not in (1, expected):
        raise ValueError(
            f"W of {described(kernel)} must have a column for each of its {len(kernel.kernels)} kernels, got "
            f"{expected} columns: give W the shape [outputs, kernels]."
        )
    if found not in (None, expected):
        raise ValueError(
            f"num_latent_gps must be {expected}, the number of latent processes of the kernel {described(kernel)}, got "
            f"{found}: build the model with num_latent_gps={expected}."
        )


def check_model(model: GPModel) -> None:
    """
    Check a model before it is used: :func:`check_num_latents`. Models without a q(u) of inducing variables pass.

    :raises ValueError: where the model's kernel and its q(u) do not fit.
    """
    if isinstance(model, SVGP):
        check_num_latents(model.kernel, model.inducing_variable, model.q_mu)


def check_outputs_fit(likelihood: Likelihood, num_outputs: int | None, num_columns: int | None) -> None:
    """
    Check that a likelihood takes as many processes as a model has, and Y with so many columns. None: not known yet.

    :raises ValueError: where it does not.
    """
    name, expected = type(likelihood).__name__, likelihood.latent_dim
    if expected is not None and num_outputs not in (None, expected):
        raise ValueError(
            f"num_latent_gps must be {expected} for {name}, got a model of {num_outputs}: build it with "
            f"num_latent_gps={expected}."
        )
    is_known = None not in (num_outputs, num_columns)
    if isinstance(likelihood, ScalarLikelihood) and is_known and num_columns != num_outputs:
        raise ValueError(
            f"Y must have a column for each of the model's {num_outputs} outputs ({name}), got {num_columns}: build "
            f"the model with num_latent_gps={num_columns}."
        )
