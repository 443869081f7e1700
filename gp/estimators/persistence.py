"""
Files of fitted estimators: NumPy's .npz with arrays and one JSON text, and no pickle.

:func:`save` and :func:`restore` know what an estimator consists of; :func:`write` and :func:`read` know the file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..data.checked_files import read_arrays, write_arrays
from ..training.logistic import LogisticRegression
from . import model
from .fits import LEAST_SQUARES, SITES
from .lifted import LiftedKernel
from .preprocessing import Preprocessing, Preprocessor
from .process import LiftedProcess

_FORMAT = "sigkernel_tf.gp.estimators"
_VERSION = 3  # 1 had truncated kernels only, and no kernel_kind_; 2 had one fit for each kind of kernel
_COMMON = ("mean", "deviation")
_OF_TRUNCATED = ("lengthscales", "variances", "q_mu", "q_sqrt")
_OF_LIFTED = ("inducing", "alpha", "offset", "root")
_OF_CALIBRATION = ("coefficients", "intercepts")
_DOUBLE_NUMBERS = 500_000  # of a covariance, up to which they are stored in double precision


def save(path: Path, estimator: Any) -> None:
    """
    Write a fitted estimator to a file.

    :raises TypeError: for options or class labels that JSON cannot hold.
    """
    fitted = {name: getattr(estimator, name) for name in estimator._saved()}
    fitted["preprocessing_"] = estimator.preprocessing_.to_dict()
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names_in_"] = estimator.feature_names_in_
    preprocessor = estimator._preprocessor
    content: dict[str, Any] = {"params": json_params(estimator.get_params(deep=False)), "fitted": fitted}
    arrays = {"mean": preprocessor.mean, "deviation": preprocessor.deviation}
    if estimator.kernel_kind_ == "truncated":
        fitted |= estimator._learnt()
        arrays |= model.arrays_of(estimator.model_)
    else:
        content["process"], of_process = _of_process(estimator._process.current())
        arrays |= of_process
        calibration = getattr(estimator, "calibration_", None)
        if calibration is not None:
            arrays |= {"coefficients": calibration.coefficients, "intercepts": calibration.intercepts}
    write(path, type(estimator).__name__, {**content, "arrays": arrays, "thinned_to": preprocessor.max_length})


def _of_process(process: LiftedProcess) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A process as JSON values and arrays. The lower triangles of its covariances are stored, in float32 if large."""
    root = np.empty((0, 0)) if process.root is None else _triangles(process.root)
    values = {
        "kernel": process.kernel.to_dict(),
        "num_channels": process.num_channels,
        "tolerance": process.tolerance,
        "num_series": process.num_series,
        "variance": process.variance,
        "noise": process.noise,
        "likelihood": process.likelihood,
        "covariances": None if process.root is None else process.root.ndim - 2,  # 0: one for all outputs
    }
    arrays = {"inducing": process.inducing, "alpha": process.alpha, "offset": process.offset, "root": root}
    return values, arrays


def _process(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> LiftedProcess:
    """What :func:`_of_process` took apart."""
    values = dict(values)
    which, root = values.pop("covariances"), arrays["root"]
    kernel = LiftedKernel.from_dict(values.pop("kernel"))
    alpha, inducing = arrays["alpha"], arrays["inducing"]
    if alpha.ndim != 2 or inducing.ndim != 2 or len(alpha) != len(inducing):
        raise ValueError(f"arrays of shapes {alpha.shape} and {inducing.shape} do not belong together")
    full = _squares(root, len(inducing)) if which is not None else None
    return LiftedProcess(
        kernel=kernel,
        inducing=inducing,
        alpha=alpha,
        offset=arrays["offset"],
        root=full[0] if full is not None and which == 0 else full,
        **values,
    )


def _triangles(root: np.ndarray) -> np.ndarray:
    """The lower triangles of matrices [M, M] or [C, M, M], one a row."""
    size = root.shape[-1]
    rows, columns = np.tril_indices(size)
    packed = root.reshape(-1, size, size)[:, rows, columns]
    return packed.astype(np.float32) if packed.size > _DOUBLE_NUMBERS else packed


def _squares(packed: np.ndarray, size: int) -> np.ndarray:
    """The lower triangular matrices [C, M, M] of :func:`_triangles`."""
    root = np.zeros((len(packed), size, size))
    rows, columns = np.tril_indices(size)
    root[:, rows, columns] = packed
    return root


def restore(path: Path, estimator: Any) -> None:
    """
    Make an estimator, as its class creates it, the one that :func:`save` wrote.

    :raises FileNotFoundError: where there is no such file.
    :raises ValueError: where it is another file, damaged, of a newer version, or another estimator's.
    """
    saved = read(path, type(estimator).__name__)
    try:
        arrays, fitted = dict(saved["arrays"]), dict(saved["fitted"])
        estimator.__init__(**saved["params"])
        estimator.preprocessing_ = Preprocessing(**fitted["preprocessing_"])
        estimator._preprocessor = Preprocessor(
            estimator.preprocessing_, arrays.pop("mean"), arrays.pop("deviation"), saved["thinned_to"]
        )
        if int(saved["version"]) == 1:
            fitted["kernel_kind_"] = "truncated"
        estimator.kernel_kind_ = fitted["kernel_kind_"]
        if int(saved["version"]) < 3:
            fitted["fit_method_"] = SITES if estimator.kernel_kind_ == "truncated" else LEAST_SQUARES
            fitted["fit_nlpps_"] = {}
        names = [name for name in estimator._saved() if name != "kernel_kind_"]
        optional = [name for name in ("feature_names_in_",) if name in fitted]
        estimator.__dict__.update({name: fitted[name] for name in (*names, *optional)})
        if estimator.kernel_kind_ == "truncated":
            estimator._build_model(arrays)
        else:
            estimator._process = _process(saved["process"], arrays)
            if "coefficients" in arrays:
                estimator.calibration_ = LogisticRegression(arrays["coefficients"], arrays["intercepts"])
    except Exception as error:  # the model refuses what cannot be its own by errors of many kinds
        raise _not_ours(path, error) from error


def write(path: Path, estimator: str, content: dict[str, Any]) -> None:
    """
    Write an estimator's content, replacing the file in one step.

    :param content: "arrays", a dict of arrays; all else JSON values, and arrays of numbers or text.
    :raises TypeError: for what JSON cannot hold.
    """
    header = {"format": _FORMAT, "version": _VERSION, "estimator": estimator}
    header |= {name: value for name, value in content.items() if name != "arrays"}
    text = json.dumps(header, default=_encoded)
    write_arrays(path, header=np.array(text), **content["arrays"])


def read(path: Path, estimator: str) -> dict[str, Any]:
    """
    What :func:`write` wrote.

    :raises FileNotFoundError: where there is no such file.
    :raises ValueError: where it is another file, damaged, of a newer version, or another estimator's.
    """
    try:
        arrays = read_arrays(path)
        header = json.loads(str(arrays.pop("header")), object_hook=_decoded)
        if header["format"] != _FORMAT:
            raise ValueError("its header is another format's")
        version, of = int(header["version"]), str(header["estimator"])
        arrays = {name: arrays[name] for name in _names(header, arrays)} if version <= _VERSION else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_ours(path, error) from error
    if version > _VERSION:
        raise ValueError(f"{str(path)!r} is of version {version}, newer than {_VERSION}: update sigkernel-tf.")
    if of != estimator:
        raise ValueError(f"{str(path)!r} holds a {of}, expected a {estimator}: load it with that class.")
    return {**header, "arrays": arrays}


def _names(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The arrays that a file with this header has."""
    if "process" not in header:
        return (*_COMMON, *_OF_TRUNCATED)
    is_sites = header["fitted"].get("fit_method_") == SITES
    has_calibration = header["estimator"] == "SignatureGPClassifier" and not is_sites
    return (*_COMMON, *_OF_LIFTED, *(_OF_CALIBRATION if has_calibration else ()))


def _not_ours(path: Path, error: Exception) -> ValueError:
    fault = f"it has no {error}" if isinstance(error, KeyError) else error
    return ValueError(
        f"{str(path)!r} is no file that save() of a sigkernel_tf estimator wrote, or is damaged ({fault}): "
        "give the file that was saved."
    )


def json_params(params: dict[str, Any]) -> dict[str, Any]:
    """An estimator's options as JSON values; a random generator is left out, as only ``fit`` uses it."""
    out = {}
    for name, value in params.items():
        if isinstance(value, (np.random.RandomState, np.random.Generator)):
            value = None
        elif isinstance(value, Preprocessing):
            value = value.to_dict()
        elif name == "preprocessing" and value is not None and not isinstance(value, (str, dict)):
            value = [one.to_dict() if isinstance(one, Preprocessing) else one for one in value]
        out[name] = value
    return out


def _encoded(value: Any) -> Any:
    """What JSON gets in place of arrays, with their dtype, and of NumPy's scalars."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype == object and not all(isinstance(item, (str, int, float, bool)) for item in value.flat):
            raise TypeError(
                f"an estimator can be saved whose class labels are text, numbers or booleans, got {value.dtype} "
                f"labels such as {value.flat[0]!r}: fit with such labels."
            )
        if value.dtype.kind not in "OUbiuf":
            raise TypeError(f"an estimator cannot be saved with values of dtype {value.dtype}: use text or numbers.")
        return {"__array__": value.tolist(), "dtype": "object" if value.dtype == object else value.dtype.str}
    raise TypeError(f"an estimator can be saved where its options are JSON values, got {value!r} of {type(value)}.")


def _decoded(value: dict) -> Any:
    if set(value) == {"__array__", "dtype"}:
        return np.array(value["__array__"], dtype=value["dtype"])
    return value
