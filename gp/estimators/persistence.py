"""
Files of fitted estimators: NumPy's .npz with arrays and one JSON text, and no pickle.

:func:`save` and :func:`restore` know what an estimator consists of; :func:`write` and :func:`read` know the file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..data.checked_files import read_arrays, write_arrays
from . import model
from .preprocessing import Preprocessing, Preprocessor

_FORMAT = "sigkernel_tf.gp.estimators"
_VERSION = 1
_ARRAYS = ("lengthscales", "variances", "q_mu", "q_sqrt", "mean", "deviation")


def save(path: Path, estimator: Any) -> None:
    """
    Write a fitted estimator to a file.

    :raises TypeError: for options or class labels that JSON cannot hold.
    """
    fitted = {name: getattr(estimator, name) for name in estimator._saved()} | estimator._learnt()
    fitted["preprocessing_"] = estimator.preprocessing_.to_dict()
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names_in_"] = estimator.feature_names_in_
    preprocessor = estimator._preprocessor
    content = {
        "params": json_params(estimator.get_params(deep=False)),
        "fitted": fitted,
        "arrays": {
            **model.arrays_of(estimator.model_),
            "mean": preprocessor.mean,
            "deviation": preprocessor.deviation,
        },
        "thinned_to": preprocessor.max_length,
    }
    write(path, type(estimator).__name__, content)


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
        optional = [name for name in ("feature_names_in_",) if name in fitted]
        estimator.__dict__.update({name: fitted[name] for name in (*estimator._saved(), *optional)})
        estimator._build_model(arrays)
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
        arrays = {name: arrays[name] for name in _ARRAYS} if version <= _VERSION else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_ours(path, error) from error
    if version > _VERSION:
        raise ValueError(f"{str(path)!r} is of version {version}, newer than {_VERSION}: update sigkernel-tf.")
    if of != estimator:
        raise ValueError(f"{str(path)!r} holds a {of}, expected a {estimator}: load it with that class.")
    return {**header, "arrays": arrays}


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
