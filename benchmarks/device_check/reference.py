"""Answers in quadruple precision, by ``reference.cc``."""

import os
import struct
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WHATS = ("series", "differences", "theorem_4_1", "signature")
KERNELS = ("linear", "rbf", "given")


@dataclass(frozen=True)
class Question:
    """
    One pair of paths X [L1, D] and Y [L2, D]; increments X [rows, columns]; or a path X whose signature is asked for.

    :param Y: for a signature the weights of its words, by which the gradient is taken.
    :param weighs: whether the largest \\|U W\\| is asked for, too, which takes as long again.
    """

    what: str
    X: np.ndarray
    Y: np.ndarray | None = None
    static_kernel: str = "linear"
    variance: float = 1.0
    dyadic_order: int = 0
    depth: int = 0
    is_stream: bool = False
    has_gradient: bool = True
    weighs: bool = True

    def sent(self) -> bytes:
        is_path = self.Y is not None and self.what != "signature"
        lengths = len(self.X), len(self.Y) if is_path and self.Y is not None else self.X.shape[1]
        header = (
            WHATS.index(self.what), KERNELS.index(self.static_kernel), *lengths, self.X.shape[1], self.dyadic_order,
            self.depth, self.is_stream, self.has_gradient, self.weighs,
        )  # fmt: skip
        arrays = [a for a in (np.array(self.variance), self.X, self.Y) if a is not None]
        return struct.pack("10q", *header) + b"".join(np.asarray(a, np.float64).tobytes() for a in arrays)

    def answered(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        if self.what == "signature":
            words = sum(self.X.shape[1] ** n for n in range(self.depth + 1)) * (len(self.X) if self.is_stream else 1)
            return {"words": numbers[:words], "d_paths": numbers[words:].reshape(-1, self.X.shape[1])}
        answer = {"k": numbers[0], "scale": numbers[1]}
        if self.has_gradient and self.Y is None:
            answer["dX"] = numbers[2:].reshape(self.X.shape)
        elif self.has_gradient and self.Y is not None:
            dX, dY = np.split(numbers[2:-1], [self.X.size])
            answer.update(dX=dX.reshape(self.X.shape), dY=dY.reshape(self.Y.shape), d_variance=numbers[-1])
        return answer


def compile_reference(folder: Path) -> Path:
    program = folder / "reference"
    subprocess.run(["g++", "-std=gnu++17", "-O2", HERE / "reference.cc", "-o", program], check=True)
    return program


def answers(program: Path, questions: Iterable[Question]) -> list[dict[str, np.ndarray]]:
    """The answer to each question, by as many processes as there are cores."""

    def ask(question: Question) -> dict[str, np.ndarray]:
        done = subprocess.run([program], input=question.sent(), capture_output=True, check=True)
        return question.answered(np.frombuffer(done.stdout))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(ask, questions))
