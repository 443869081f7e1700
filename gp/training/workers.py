"""
What a training asks of the processes that share its work: who this one is, sums over all, and errors that all raise.

TensorFlow's ``MultiWorkerMirroredStrategy`` does nothing but add numbers here. Variables are plain ones, of which each
process has all. They start from the chief's values and get the same updates, so that they stay equal to the last bit.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from .fingerprint import differences

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Alone:
    """A single process, which has nobody to ask."""

    rank, size = 0, 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process' part of so many numbers from 0, about the same for each process."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sums(self, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """The sum over the processes of each tensor, with the same bits in all of them; a part of graphs, too."""
        return tensors

    def total(self, numbers: Any) -> np.ndarray:
        """The sum over the processes of an array, which is below 2^53 where it holds integers."""
        return np.asarray(numbers)

    def totals(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """The sums over the processes of several arrays or tensors of floats, which are sent together."""
        return arrays

    def differentiable_totals(self, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """:meth:`totals` for a gradient tape outside graphs, which adds up the gradients of all processes, too."""
        return tensors

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in one of the processes."""
        return flag

    def joined(self, part: np.ndarray, count: int) -> np.ndarray:
        """The numbers of all ``count`` rows, of which each process has those of its :meth:`share`."""
        return part

    def from_chief(self, value: Any) -> Any:
        """The chief's JSON value."""
        return value

    def copy_from_chief(self, variables: Sequence[tf.Variable]) -> None:
        """Give variables the chief's values."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """An error of one process in this block is an error of all, as the others would wait for its next sum."""
        yield

    def check_same(self, described: dict[str, Any]) -> None:
        """:raises ValueError: where JSON values by name differ from the chief's, naming what differs."""

    @contextmanager
    def asked_to_stop(self) -> Iterator[None]:
        """While it lasts, an interrupt of one process is answered by all of them, in :meth:`check_stop`."""
        yield

    def check_stop(self, elapsed: float) -> tuple[float, bool]:
        """The mean over the processes of a time, so that all decide by the same one, and whether all are to stop."""
        return elapsed, False

    @contextmanager
    def lost_workers(self) -> Iterator[None]:
        """Turns TensorFlow's errors about processes that no longer answer into a RuntimeError with the cure."""
        yield


class Workers(Alone):
    """The processes of a ``MultiWorkerMirroredStrategy``, one of which is this one."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        """
        :raises TypeError: for another kind of strategy.
        :raises ValueError: where a process has more than one device.
        """
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise TypeError(
                "strategy must be a tf.distribute.MultiWorkerMirroredStrategy, got "
                f"{type(strategy).__name__}: take strategy = connect_workers()."
            )
        self._strategy = strategy
        ranks = strategy.experimental_local_results(
            strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
        )
        if len(ranks) > 1:
            raise ValueError(
                f"strategy must have one device in each process, got {len(ranks)}: start a process for each GPU, and "
                "let each see only its own by CUDA_VISIBLE_DEVICES."
            )
        self.rank, self.size = int(ranks[0]), strategy.num_replicas_in_sync
        self._stop = False

    def sums(self, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        def replica(*parts: tf.Tensor) -> list[tf.Tensor]:
            # The identities have a device, without which TensorFlow refuses to add: "destinations can not be empty".
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.identity(part) for part in parts])

        return self._strategy.run(replica, args=tuple(tensors))

    def total(self, numbers: Any) -> np.ndarray:
        numbers = np.asarray(numbers)
        if not numbers.size:  # TensorFlow crashes where there is nothing to add
            return numbers
        # Integers below 2^53 are exact as floats, which every device can add.
        floats = numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64)
        total = self._strategy.reduce(tf.distribute.ReduceOp.SUM, tf.constant(floats), axis=None)
        return total.numpy().astype(numbers.dtype)

    def totals(self, arrays: Sequence[Any]) -> Sequence[Any]:
        parts = [np.asarray(array, np.float64) for array in arrays]
        total = self.total(np.concatenate([part.ravel() for part in parts]))
        ends = np.cumsum([part.size for part in parts])
        return [flat.reshape(part.shape) for flat, part in zip(np.split(total, ends[:-1]), parts, strict=True)]

    def differentiable_totals(self, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        @tf.custom_gradient
        def summed(*parts: tf.Tensor) -> tuple[list[tf.Tensor], Any]:
            def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
                return [tf.constant(total) for total in self.totals(upstream)]

            return [tf.constant(total) for total in self.totals(parts)], gradient

        return summed(*tensors)

    def any(self, flag: bool) -> bool:
        return bool(self.total(np.int32(flag)))

    def joined(self, part: np.ndarray, count: int) -> np.ndarray:
        everything = np.zeros((count, *part.shape[1:]), part.dtype)
        everything[self.share(count)] = part
        return self.total(everything)

    def from_chief(self, value: Any) -> Any:
        content = json.dumps(value, default=np.generic.item).encode() if self.is_chief else b""
        length = int(self.total(np.int64(len(content))))
        text = np.zeros(length, np.uint8)
        text[: len(content)] = np.frombuffer(content, np.uint8)
        return json.loads(self.total(text).tobytes())

    def copy_from_chief(self, variables: Sequence[tf.Variable]) -> None:
        for variable in variables:
            value = variable.numpy()
            variable.assign(self.total(value if self.is_chief else np.zeros_like(value)))

    @contextmanager
    def together(self) -> Iterator[None]:
        error: BaseException | None = None
        try:
            yield
        except BaseException as caught:
            error = caught
        try:
            failed = self.total(np.int32(error is not None) * np.eye(self.size, dtype=np.int32)[self.rank])
        finally:
            if error is not None:  # also where the others can no longer be told
                raise error
        if failed.any():  # names the first of them
            raise RuntimeError(f"worker {int(np.argmax(failed))} has failed: what it prints says why.")

    def check_same(self, described: dict[str, Any]) -> None:
        here = json.loads(json.dumps(described, default=np.generic.item))
        there = self.from_chief(here)
        with self.together():
            if differing := differences(here, there, "worker 0"):
                raise ValueError(
                    f"all workers must have the same model, data and options, but worker {self.rank} differs from "
                    f"worker 0 in {', '.join(differing)}: start the same script with the same arguments on each."
                )

    @contextmanager
    def asked_to_stop(self) -> Iterator[None]:
        def ask(*_: object) -> None:
            self._stop = True

        is_main = threading.current_thread() is threading.main_thread()  # others, such as Ray's, cannot set handlers
        before = {number: signal.signal(number, ask) for number in _STOPS if is_main}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check_stop(self, elapsed: float) -> tuple[float, bool]:
        asked, total = self.total(np.array([float(self._stop), elapsed]))
        return float(total) / self.size, bool(asked)

    @contextmanager
    def lost_workers(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise RuntimeError(
                f"worker {self.rank} cannot go on: another worker has failed or was stopped, or TensorFlow has failed "
                "here. Start all workers again: with a checkpoint_dir they go on from the last checkpoint. What the "
                f"others print may say why. TensorFlow's error was: {error.message}"
            ) from error


def as_workers(strategy: tf.distribute.Strategy | None) -> Alone:
    """
    The processes of a strategy; of None, this one alone.

    :raises TypeError: for another kind of strategy.
    :raises ValueError: for several devices in a process, and for no strategy where TF_CONFIG names several workers.
    """
    if strategy is not None:
        workers = Workers(strategy)
        return workers if workers.size > 1 else Alone()
    count = sum(len(tasks) for tasks in _cluster_of_environment().values())
    if count > 1:
        raise ValueError(
            f"strategy must be given where TF_CONFIG names {count} workers, got None: each of them would train by "
            "itself. Take strategy=connect_workers(), or unset TF_CONFIG."
        )
    return Alone()


def _cluster_of_environment() -> dict[str, list[str]]:
    """The addresses by kind that TF_CONFIG names; none where it is damaged, which is not for a training to judge."""
    try:
        return dict(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}))
    except (ValueError, AttributeError, TypeError):
        return {}
