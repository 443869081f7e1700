"""
pySigLib's CUDA library out of its wheel, by ctypes, on the same GPU.

Its Python package wants PyTorch, which forms the increments of the static kernel; here they are given, so that the time
of forming them is left out. Its functions return when the GPU has done its work.
"""

import ctypes
import zipfile
from ctypes import c_bool, c_double, c_float, c_uint64, c_void_p
from pathlib import Path

import numpy as np

from .driver import DTYPES, Buffer, DeviceError, Driver

LIBRARY, RUNTIME = "pysiglib_cuda/libcusig.so", "pysiglib_cuda.libs/"
LETTERS = {"float": "f", "double": "d"}


class Peer:
    """The library. ``folder``: where the wheel is unpacked, for ctypes loads files."""

    def __init__(self, driver: Driver, wheel: Path, folder: Path) -> None:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(
                folder, [name for name in packed.namelist() if name == LIBRARY or name.startswith(RUNTIME)]
            )
        self.driver, self.library = driver, ctypes.CDLL(str(folder / LIBRARY))
        self.library.cusig_last_error_message.restype = ctypes.c_char_p

    def call(self, name: str, dtype: str, *arguments: object) -> None:
        status = getattr(self.library, f"{name}_cuda_{LETTERS[dtype]}")(*arguments)
        if status:
            said = self.library.cusig_last_error_message()
            raise DeviceError(f"pySigLib: error {status} {said.decode(errors='replace') if said else ''}")


def sizes(*numbers: int) -> list[c_uint64]:
    return [c_uint64(n) for n in numbers]


class PeerKernel:
    """
    Kernels of pairs whose increments [n, rows, columns] are given, by finite differences or polynomials of order 8.

    :param repeats: how often the call is made, for more pairs than memory holds.
    """

    ORDER = 8

    def __init__(
        self, peer: Peer, dtype: str, increments: np.ndarray, channels: int, *, what: str, repeats: int = 1
    ) -> None:
        self.peer, self.dtype, self.repeats, self.is_series = peer, dtype, repeats, what == "series"
        number, driver = DTYPES[dtype], peer.driver
        count, rows, columns = increments.shape
        self.shape = sizes(count, channels, rows + 1, columns + 1)
        self.state_shape = (
            (count, rows, columns, 2, self.ORDER + 1) if self.is_series else (count, rows + 1, columns + 1)
        )
        self.increments = driver.copy(increments, number)
        self.k, self.upstream = driver.empty((count,), number), driver.copy(np.ones(count), number)
        self.state: Buffer | None = None
        self.d_increments: Buffer | None = None

    def forward(self) -> None:
        for _ in range(self.repeats):
            self._forward(self.k, None)

    def _forward(self, k: Buffer, state: Buffer | None) -> None:
        if self.is_series:
            of_state = c_void_p(0) if state is None else state.pointer
            end = (*self.shape, c_uint64(self.ORDER), c_bool(False))
            self.peer.call("sig_kernel_poly", self.dtype, self.increments.pointer, k.pointer, of_state, *end)
        else:
            grid = k if state is None else state
            end = (*self.shape, *sizes(0, 0), c_bool(state is not None))
            self.peer.call("sig_kernel", self.dtype, self.increments.pointer, grid.pointer, *end)

    def both(self) -> None:
        """With the gradient by the increments, from the state that forward keeps for it."""
        driver, number = self.peer.driver, DTYPES[self.dtype]
        if self.state is None or self.d_increments is None:
            self.state, self.d_increments = (
                driver.empty(self.state_shape, number),
                driver.empty(self.increments.shape, number),
            )
        for _ in range(self.repeats):
            self._forward(self.k, self.state)
            start = (
                self.increments.pointer,
                self.d_increments.pointer,
                self.upstream.pointer,
                self.state.pointer,
                *self.shape,
            )
            if self.is_series:
                self.peer.call("sig_kernel_poly_backprop", self.dtype, *start, c_uint64(self.ORDER), c_bool(False))
            else:
                self.peer.call("sig_kernel_backprop", self.dtype, *start, *sizes(0, 0), c_bool(False))


class PeerSignature:
    """Signatures of paths [n, L, D] to a depth, with the first word."""

    def __init__(self, peer: Peer, dtype: str, paths: np.ndarray, depth: int) -> None:
        self.peer, self.dtype, driver, number = peer, dtype, peer.driver, DTYPES[dtype]
        count, length, channels = paths.shape
        shape = (count, sum(channels**n for n in range(depth + 1)))
        real = c_float if dtype == "float" else c_double
        none = (c_void_p(0), *sizes(0, 0, 0))  # no correction
        self.before = sizes(count, channels, length, depth)
        self.forward_end = (c_bool(False), c_bool(False), real(1), c_bool(True), c_bool(True), *none)
        self.backward_end = (c_bool(False), c_bool(False), real(1), c_bool(True), *none)
        self.paths, self.d_paths = driver.copy(paths, number), driver.empty(paths.shape, number)
        self.words, self.upstream = driver.empty(shape, number), driver.copy(np.ones(shape), number)

    def forward(self) -> None:
        self.peer.call("signature", self.dtype, self.paths.pointer, self.words.pointer, *self.before, *self.forward_end)

    def both(self) -> None:
        self.forward()
        pointers = (self.paths.pointer, self.d_paths.pointer, self.upstream.pointer, self.words.pointer)
        self.peer.call("sig_backprop", self.dtype, *pointers, *self.before, *self.backward_end)
