"""The compiled library of the pack, by ctypes: memory of the device, and the solver and the signatures on it."""

import ctypes
import os
from collections.abc import Callable
from ctypes import c_double, c_int, c_int64, c_void_p
from pathlib import Path

import numpy as np

DTYPES: dict[str, np.dtype] = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}
SHARINGS = ("group", "block", "chain")
INCREMENTS = ("linear", "rbf", "given")
PAIRINGS = ("pairs", "gram", "symmetric", "diagonal")
LAYOUT = "SIGKERNEL_TF_GPU_LAYOUT"
# What the operations ask for by default: see PowerSeries.
TOLERANCES = {"float": 4.8e-7, "double": 8.9e-16}


class DeviceProperties(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 256), ("bytes", c_int64), ("multiprocessors", c_int), ("kilohertz", c_int),
        ("major", c_int), ("minor", c_int), ("driver", c_int), ("runtime", c_int), ("is_emulated", c_int),
    ]  # fmt: skip


class Line(ctypes.Structure):
    """One line of the table of all that is compiled: see csrc/core/goursat/cuda/instantiations.h."""

    _fields_ = [
        ("is_double", c_int), ("degree", c_int), ("theorem_4_1", c_int), ("is_refined", c_int), ("increments", c_int),
        ("sharing", c_int), ("lanes", c_int), ("rows_per_lane", c_int), ("strip_rows", c_int64),
    ]  # fmt: skip

    @property
    def dtype(self) -> str:
        return "double" if self.is_double else "float"

    @property
    def layout(self) -> str | None:
        """What the environment variable asks for; None: refined pairs are always dealt in one way."""
        return None if self.is_refined else f"{SHARINGS[self.sharing]}:{self.lanes}:{self.rows_per_lane}"


class Call(ctypes.Structure):
    _fields_ = [("stream", c_void_p), ("is_dirty", c_int), ("multiprocessors", c_int), ("scratch", c_int64)]


class Problem(ctypes.Structure):
    """Paths and solver. With increments given: x_count pairs of x_length by y_length cells."""

    _fields_ = [
        ("x_count", c_int64), ("x_length", c_int64), ("y_count", c_int64), ("y_length", c_int64),
        ("channels", c_int64), ("tolerance", c_double), ("pairing", c_int), ("static_kernel", c_int),
        ("power_series", c_int), ("dyadic_order", c_int), ("theorem_4_1", c_int),
    ]  # fmt: skip


class DeviceError(RuntimeError):
    """What CUDA or the library says went wrong."""


class Buffer:
    """An array on the device."""

    def __init__(self, driver: "Driver", shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.driver, self.shape, self.dtype = driver, shape, dtype
        self.bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.pointer = c_void_p()
        driver.call("check_allocate", c_int64(self.bytes), ctypes.byref(self.pointer))
        self.set()

    def set(self, byte: int = 0xFF) -> None:
        """Overwrites every byte; by default numbers become NaN."""
        self.driver.call("check_set", self.pointer, c_int(byte), c_int64(self.bytes))

    def write(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, self.dtype)
        assert values.nbytes == self.bytes, (values.shape, self.shape)
        self.driver.call("check_write", self.pointer, c_void_p(values.ctypes.data), c_int64(self.bytes))

    def read(self) -> np.ndarray:
        values = np.empty(self.shape, self.dtype)
        self.driver.call("check_read", c_void_p(values.ctypes.data), self.pointer, c_int64(self.bytes))
        return values

    def __del__(self) -> None:
        if self.pointer:
            self.driver.library.check_free(self.pointer)


class Driver:
    """The library. ``multiprocessors``: for which number threads are dealt and memory is taken; 0: the GPU's own."""

    def __init__(self, path: Path, multiprocessors: int = 0) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.check_error.restype = ctypes.c_char_p
        self.multiprocessors = multiprocessors

    def call(self, name: str, *arguments: object) -> None:
        if getattr(self.library, name)(*arguments):
            raise DeviceError(self.library.check_error().decode())

    def device(self) -> DeviceProperties:
        """Asked for before anything else that needs the GPU."""
        result = DeviceProperties()
        self.call("check_device", ctypes.byref(result))
        return result

    def lines(self) -> list[Line]:
        """Needs no GPU."""
        lines = [Line() for _ in range(self.library.check_lines())]
        for n, line in enumerate(lines):
            self.library.check_line(c_int(n), ctypes.byref(line))
        return lines

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Buffer:
        return Buffer(self, shape, dtype)

    def copy(self, values: np.ndarray, dtype: np.dtype) -> Buffer:
        buffer = Buffer(self, values.shape, dtype)
        buffer.write(values)
        return buffer

    def stream(self) -> c_void_p:
        stream = c_void_p()
        self.call("check_stream", ctypes.byref(stream))
        return stream

    def wait(self) -> None:
        """Until all that was launched has run; what went wrong on the way is said here."""
        self.call("check_wait")

    def milliseconds(self, function: Callable[[], object], stream: c_void_p | None = None) -> float:
        """Of one call, by the device's clock."""
        result = ctypes.c_float()
        self.call("check_start", stream)
        function()
        self.call("check_stop", stream, ctypes.byref(result))
        return result.value

    def begin(self, stream: c_void_p | None = None, is_dirty: bool = True) -> Call:
        return Call(stream, int(is_dirty), self.multiprocessors, 0)


class asked_layout:  # noqa: N801, a context
    """Asks for one way of dealing threads; None: the library's own choice."""

    def __init__(self, layout: str | None) -> None:
        self.layout = layout

    def __enter__(self) -> None:
        if self.layout is not None:
            os.environ[LAYOUT] = self.layout

    def __exit__(self, *_: object) -> None:
        os.environ.pop(LAYOUT, None)


class Kernel:
    """
    Kernels of one problem and their gradient on the device, computed as often as asked for.

    :param X: [n, L1, D], or the increments [n, rows, columns] where ``Y`` is None.
    :param what: ``"series"``, ``"differences"`` or ``"theorem_4_1"``.
    """

    def __init__(
        self, driver: Driver, dtype: str, X: np.ndarray, Y: np.ndarray | None, *, what: str, pairing: str = "pairs",
        static_kernel: str = "linear", variance: float = 1.0, upstream: np.ndarray | float = 1.0,
        stream: c_void_p | None = None,
    ) -> None:  # fmt: skip
        self.driver, self.dtype, self.stream, self.is_given = driver, dtype, stream, Y is None
        number = DTYPES[dtype]
        if Y is None:
            sizes = (X.shape[0], X.shape[1], X.shape[0], X.shape[2], 0)
            shape: tuple[int, ...] = (len(X),)
        else:
            sizes = (X.shape[0], X.shape[1], Y.shape[0], Y.shape[1], X.shape[2])
            shape = (len(X), len(Y)) if pairing in ("gram", "symmetric") else (len(X),)
        self.problem = Problem(
            *sizes, TOLERANCES[dtype], PAIRINGS.index(pairing), int(static_kernel == "rbf"), int(what == "series"), 0,
            int(what == "theorem_4_1"),
        )  # fmt: skip
        self.X, self.dX = driver.copy(X, number), driver.empty(X.shape, number)
        self.Y = None if Y is None else driver.copy(Y, number)
        self.dY = None if Y is None else driver.empty(Y.shape, number)
        self.variance = driver.copy(np.array([variance]), number)
        self.d_variance = driver.empty((1,), number)
        self.upstream = driver.copy(np.broadcast_to(upstream, shape), number)
        self.k, self.plan = driver.empty(shape, number), driver.empty(shape, np.dtype(np.int32))

    def forward(self, *, is_dirty: bool = True) -> int:
        """Launches; returns the bytes of scratch memory."""
        call = self.driver.begin(self.stream, is_dirty)
        start = (ctypes.byref(self.problem), ctypes.byref(call), self.X.pointer)
        if self.Y is None:
            self.driver.call(f"check_solve_{self.dtype}", *start, self.k.pointer, self.plan.pointer)
        else:
            self.driver.call(
                f"check_forward_{self.dtype}",
                *start,
                self.Y.pointer,
                self.variance.pointer,
                self.k.pointer,
                self.plan.pointer,
            )
        return call.scratch

    def backward(self, *, is_dirty: bool = True) -> int:
        """Likewise, after forward()."""
        call = self.driver.begin(self.stream, is_dirty)
        start = (ctypes.byref(self.problem), ctypes.byref(call), self.X.pointer)
        if self.Y is None or self.dY is None:
            end = (self.plan.pointer, self.upstream.pointer, self.dX.pointer)
            self.driver.call(f"check_solve_backward_{self.dtype}", *start, *end)
        else:
            self.driver.call(
                f"check_backward_{self.dtype}", *start, self.Y.pointer, self.variance.pointer, self.plan.pointer,
                self.upstream.pointer, self.dX.pointer, self.dY.pointer, self.d_variance.pointer,
            )  # fmt: skip
        return call.scratch

    def directional(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """k, and its derivative where the paths X move in that direction."""
        assert self.Y is not None
        moved, tangent = (
            self.driver.copy(direction, DTYPES[self.dtype]),
            self.driver.empty(self.k.shape, DTYPES[self.dtype]),
        )
        call = self.driver.begin(self.stream)
        self.driver.call(
            f"check_directional_{self.dtype}", ctypes.byref(self.problem), ctypes.byref(call), self.X.pointer,
            self.Y.pointer, self.variance.pointer, moved.pointer, self.k.pointer, tangent.pointer, self.plan.pointer,
        )  # fmt: skip
        self.driver.wait()
        return self.k.read(), tangent.read()

    def both(self) -> dict[str, np.ndarray]:
        """Forward and backward from NaN, and all results."""
        self.clear()
        self.forward()
        self.backward()
        self.driver.wait()
        return self.results()

    def clear(self) -> None:
        for buffer in (self.k, self.plan, self.dX, self.dY, self.d_variance):
            if buffer is not None:
                buffer.set()

    def results(self) -> dict[str, np.ndarray]:
        found = {"k": self.k.read(), "plan": self.plan.read(), "dX": self.dX.read()}
        if self.dY is not None:
            if self.problem.pairing < PAIRINGS.index("symmetric"):  # else both are in dX
                found["dY"] = self.dY.read()
            found["d_variance"] = self.d_variance.read()
        return found


class Signature:
    """Signatures of paths [n, L, D] and their gradient."""

    def __init__(
        self,
        driver: Driver,
        dtype: str,
        paths: np.ndarray,
        num_words: int,
        *,
        is_stream: bool = False,
        upstream: np.ndarray | float = 1.0,
    ) -> None:
        number = DTYPES[dtype]
        self.driver, self.dtype = driver, dtype
        shape = (len(paths), paths.shape[1] if is_stream else 1, num_words)
        self.sizes = (*(c_int64(n) for n in (*paths.shape, num_words)), c_int(is_stream))
        self.paths, self.d_paths = driver.copy(paths, number), driver.empty(paths.shape, number)
        self.words = driver.empty(shape, number)
        self.upstream = driver.copy(np.broadcast_to(upstream, shape), number)

    def forward(self, *, is_dirty: bool = True) -> int:
        call = self.driver.begin(None, is_dirty)
        self.driver.call(
            f"check_signature_{self.dtype}", self.paths.pointer, *self.sizes, ctypes.byref(call), self.words.pointer
        )
        return call.scratch

    def backward(self, *, is_dirty: bool = True) -> int:
        call = self.driver.begin(None, is_dirty)
        self.driver.call(
            f"check_signature_backward_{self.dtype}", self.paths.pointer, *self.sizes, ctypes.byref(call),
            self.words.pointer, self.upstream.pointer, self.d_paths.pointer,
        )  # fmt: skip
        return call.scratch

    def both(self) -> dict[str, np.ndarray]:
        self.words.set()
        self.d_paths.set()
        self.forward()
        self.backward()
        self.driver.wait()
        return {"words": self.words.read(), "d_paths": self.d_paths.read()}


def first_not_finite(driver: Driver, values: np.ndarray, dtype: str) -> int:
    buffer, call, first = driver.copy(values, DTYPES[dtype]), driver.begin(), c_int64()
    driver.call(
        f"check_first_not_finite_{dtype}", buffer.pointer, c_int64(values.size), ctypes.byref(call), ctypes.byref(first)
    )
    return first.value
