"""
Computations on many rows with flat memory: a batch at a time, the results put together by rows.

Predictions and scores share this machinery; :func:`predict_in_batches` is its simplest use.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from gpflow.models import GPModel
from gpflow.posteriors import PrecomputeCacheType

from sigkernel_tf._arguments import as_int, check_unmasked

from .._checks import check_model, check_rows
from .._chunks import row_parts
from ..data.rows import as_array_like, as_default_float, check_finite
from .traces import traced

Predictor = Callable[[tf.Tensor], Sequence[Any]]


def predict_in_batches(
    model: GPModel, X: Any, *, batch_size: int = 500, out: tuple[Any, Any] | None = None
) -> tuple[Any, Any]:
    """
    Means and variances of y at many inputs: ``model.predict_y``, in batches. For classes the means are probabilities.

    What depends only on the model is computed once, by GPflow's cached ``model.posterior()`` where there is one. Memory
    beyond the results is that of one batch, whatever N is. With ``out`` the results can stay in files, too.

    >>> mean, variance = predict_in_batches(model, rows, batch_size=8)
    >>> mean.shape, variance.shape
    ((20, 1), (20, 1))
    >>> with tempfile.TemporaryDirectory() as folder:  # results that do not fit in memory
    ...     files = [np.lib.format.open_memmap(f"{folder}/{i}.npy", "w+", float, (20, 1)) for i in range(2)]
    ...     in_files, _ = predict_in_batches(model, rows, out=files)
    ...     np.array_equal(in_files, mean)
    True

    :param model: a GPflow model.
    :param X: inputs [N, W], N >= 1: an array, or a memory-mapped file or the like, of which one batch at a time is
        read. Or an iterator of batches [B, W], which may differ in width: a generator or a ``tf.data.Dataset``. Each
        is predicted as it comes. Where it gives pairs (X, Y), only X is used.
    :param batch_size: how many inputs are predicted at a time. It changes only the memory needed. An iterator's batches
        are taken as they come.
    :param out: arrays [N, P] for the means and the variances. They may have more rows, which are left as they are.
    :return: means and variances, [N, P] each; ``out`` where it is given.
    :raises ValueError: for no inputs, for a NaN or an infinity in X, naming its row, for an ``out`` of another shape,
        and for a model with another number of latent processes than its multioutput kernel has.
    """
    return over_inputs(predictor(model, predict_y), X, batch_size, out)


def predict_rows(
    model: GPModel, X: Any, rows: range, *, batch_size: int = 500, out: tuple[Any, Any] | None = None
) -> tuple[Any, Any]:
    """
    Means and variances of y at some rows of X: one task's part of a prediction that many machines share.

    The rows are predicted in the batches in which :func:`predict_in_batches` would predict them, and so, on processors
    of one kind, with the same bits.

    >>> mean, variance = predict_rows(model, rows, range(8, 20), batch_size=8)
    >>> np.array_equal(mean, predict_in_batches(model, rows, batch_size=8)[0][8:])
    True

    :param X: inputs [N, W], an array or a memory-mapped file or the like, of which only these rows are read.
    :param rows: ``range(first, last)``. Both are multiples of ``batch_size``, but ``last`` may also be N.
    :param batch_size: how many inputs are predicted at a time.
    :param out: arrays [N, P] for the means and the variances of all rows, such as memory-mapped files that several
        tasks write, of which these rows are written.
    :return: means and variances of these rows.
    :raises TypeError: for rows that are no range.
    :raises ValueError: for rows that X does not have or that end within a batch; else as :func:`predict_in_batches`.
    """
    X, size = as_array_like(X, "X"), as_int(batch_size, "batch_size", 1)
    if not isinstance(rows, range) or rows.step != 1:
        raise TypeError(f"rows must be a range of step 1, got {rows!r}: for instance range(0, {size}).")
    count = X.shape[0]
    is_inside = 0 <= rows.start < rows.stop <= count
    if not is_inside or rows.start % size or (rows.stop % size and rows.stop != count):
        raise ValueError(
            f"rows must begin and end at multiples of batch_size={size}, or end with the {count} rows of X, got "
            f"{rows!r}: so that each batch is the same as where one process predicts all rows."
        )
    part = X[rows.start : rows.stop]
    own = None if out is None else tuple(array[rows.start : rows.stop] for array in out)
    predict = predictor(model, predict_y)
    return over_inputs(predict, part, size, own, first=rows.start)  # type: ignore[return-value]


def predictor(model: GPModel, function: Callable[..., Sequence[tf.Tensor]]) -> Predictor:
    """
    A function of inputs that calls ``function(model, X, q)``, which predicts by :func:`f_marginals`.

    It is traced once for each model and ``function``. What depends only on the model, q, is computed here, so the model
    must not change afterwards.

    :raises ValueError: for a model whose numbers of latent processes do not agree.
    """
    check_model(model)
    q = tuple(model.posterior().cache) if hasattr(model, "posterior") else ()
    trace = traced(model, function)

    def predict(X: tf.Tensor) -> Sequence[tf.Tensor]:
        if trace.experimental_get_tracing_count() == 0:  # for any number of rows, so that it need not be traced again
            trace.get_concrete_function(tf.TensorSpec([None, *X.shape[1:]], X.dtype), q)
        return trace(X, q)

    return predict


def f_marginals(model: GPModel, X: tf.Tensor, q: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
    """Means and variances of f, where q is what the model's posterior has computed beforehand."""
    if not hasattr(model, "posterior"):
        return model.predict_f(X)
    posterior = model.posterior(PrecomputeCacheType.NOCACHE)
    posterior.cache = q
    return posterior.predict_f(X)


def predict_y(model: GPModel, X: tf.Tensor, q: tuple[tf.Tensor, ...]) -> Sequence[tf.Tensor]:
    """Means and variances of y; q is as in :func:`f_marginals`."""
    return model.likelihood.predict_mean_and_var(X, *f_marginals(model, X, q))


def over_inputs(
    function: Predictor, X: Any, batch_size: int, out: Sequence[Any] | None, first: int = 0
) -> tuple[Any, ...]:
    """
    The results of a function of inputs, for all inputs.

    :param X: as :func:`predict_in_batches` takes it.
    :param out: an array for each result; None: new ones are made.
    :param first: the number of the first row, for errors.
    """
    batches = _input_batches(X, as_int(batch_size, "batch_size", 1))
    return over_batches(function, ((inputs,) for inputs in _checked(batches, first)), out)


def over_batches(
    function: Callable[..., Sequence[Any]], batches: Iterable[tuple[Any, ...]], out: Sequence[Any] | None = None
) -> tuple[Any, ...]:
    """
    The results of a function of batches, put together by rows.

    :param batches: for each batch the arguments of the function.
    :param out: an array for each result; None: new ones are made.
    :raises ValueError: for no rows at all, and for an ``out`` of another shape.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    row = 0
    for batch in batches:
        results = tuple(np.asarray(result) for result in function(*batch))
        if out is None:
            parts.append(results)
        else:
            _write(results, out, row)
        row += len(results[0])
    if row == 0:
        raise ValueError("X must have at least one row, got none.")
    if out is not None:
        return tuple(array[:row] for array in out)
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _input_batches(X: Any, batch_size: int) -> Iterator[Any]:
    if isinstance(X, Iterable) and not hasattr(X, "shape") and not isinstance(X, (list, tuple)):
        for batch in X:
            inputs = batch[0] if isinstance(batch, tuple) else batch
            check_unmasked(inputs, "X")
            check_rows(inputs, "X")
            yield inputs
        return
    check_unmasked(X, "X")
    try:
        array = as_array_like(X, "X")
    except ValueError as error:
        raise ValueError(
            "X must be one array, or an iterator of batches, got a list of arrays of several shapes: take iter(X) "
            "where they are batches, flatten_paths(X) where they are paths."
        ) from error
    check_rows(array, "X")
    if array.shape[0] == 0:
        raise ValueError(f"X must have at least one row, got shape {array.shape}.")
    yield from row_parts(array, batch_size)


def _checked(batches: Iterable[Any], first: int) -> Iterator[tf.Tensor]:
    """
    The batches in GPflow's default float.

    :param first: the number of the first row.
    :raises ValueError: for a NaN or an infinity, with its row counted through all batches.
    """
    for batch in batches:
        inputs = as_default_float(batch)
        check_finite(inputs.numpy(), range(first, first + inputs.shape[0]))
        first += inputs.shape[0]
        yield inputs


def _write(results: tuple[np.ndarray, ...], out: Sequence[Any], row: int) -> None:
    if len(out) != len(results):
        raise ValueError(f"out must hold {len(results)} arrays, got {len(out)}.")
    for result, array in zip(results, out, strict=True):
        if tuple(array.shape[1:]) != result.shape[1:] or array.shape[0] < row + len(result):
            raise ValueError(
                f"out must have at least {row + len(result)} rows of shape {result.shape[1:]}, got {array.shape}."
            )
        array[row : row + len(result)] = result
