"""The instructions of CUDA kernels, counted in the machine code of the loops in which they spend their time."""

import math
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

CHANNELS_AT_ONCE = 4  # kChunk of csrc/core/goursat/cuda/tile.cuh
STEPS_TO_LOOK = 8  # kStepsToLook of csrc/core/goursat/inspection.h
FLOATING = ("DFMA", "DMUL", "DADD", "FFMA", "FMUL", "FADD")
TOOLS = ("cuobjdump", "nvdisasm")


@dataclass(frozen=True)
class Loop:
    """
    The number of instructions of each kind in a loop that has no other loop inside.

    ``rare`` are those among them of blocks that are jumped over and touch no shared memory: a power series' look at its
    edges, which is taken once in some steps.
    """

    kinds: Counter
    rare: Counter

    @property
    def instructions(self) -> float:
        """How many are executed in a step."""
        return sum(self.kinds.values()) - sum(self.rare.values()) * (1 - 1 / STEPS_TO_LOOK)

    @property
    def floating(self) -> int:
        return sum(self.kinds[kind] for kind in FLOATING)


@dataclass(frozen=True)
class Kernel:
    """A kernel as compiled for sm_90; ``rule`` as printed by gpu_layouts.cc."""

    direction: str
    rule: str
    degree: int
    dtype: str
    rows_per_lane: int
    channels: int  # of a kernel for so many at most, under the linear static kernel; 0: for any
    registers: int
    loops: tuple[Loop, ...]

    @property
    def name(self) -> str:
        rule = self.rule if self.degree == 0 else f"{self.rule} {self.degree}"
        few = f", D <= {self.channels}" if self.channels else ""
        return f"{self.direction}, {rule}, {self.dtype}, {self.rows_per_lane} a lane{few}"

    @property
    def sweeps(self) -> tuple[Loop, ...]:
        """The loops over a tile's steps: forward one, backward edges between strips, edges, tape and the way back."""
        # Others wait, if ever.
        found = tuple(x for x in self.loops if x.kinds["SHFL"] and 8 * x.floating > sum(x.kinds.values()))
        expected = 1 if self.direction == "forward" else 4
        assert len(found) == expected, f"{self.name}: {len(found)} loops with shuffles, not {expected}"
        return found

    def _linear(self, has_store: bool) -> list[Loop]:
        """The loops over a tile's steps that handle four channels of the linear static kernel."""
        return [
            loop
            for loop in self.loops
            if loop.kinds["LDS"] and not loop.kinds["SHFL"] and not loop.kinds["LDG"]
            if loop.floating == CHANNELS_AT_ONCE * self.rows_per_lane and bool(loop.kinds["STS"]) == has_store
        ]

    def step(self, channels: int, is_kept: bool) -> tuple[float, float]:
        """
        The instructions of a step, and the floating-point ones among them, for the linear static kernel.

        :param is_kept: whether a backward kernel must first compute the rows of several strips, in one more sweep.
        """
        if self.channels > 0:
            # One number passes between lanes at each step, of several in a turn. Loops that wait are more than steps.
            turn = max((x for x in self.loops if not x.kinds["BSSY"]), key=lambda x: x.kinds["SHFL"])
            steps = turn.kinds["SHFL"] / (1 if self.dtype == "float" else 2)
            return turn.instructions / steps, turn.floating / steps
        sweeps = self.sweeps if is_kept or self.direction == "forward" else self.sweeps[1:]
        forming = self._linear(has_store=True)[: len(sweeps) if self.direction == "forward" else len(sweeps) - 1]
        chunks = math.ceil(channels / CHANNELS_AT_ONCE)
        linear = [*forming, *(self._linear(has_store=False) if self.direction == "backward" else [])]
        return (
            sum(loop.instructions for loop in sweeps) + chunks * sum(loop.instructions for loop in linear),
            sum(loop.floating for loop in sweeps) + chunks * sum(loop.floating for loop in linear),
        )


def has_tools() -> bool:
    """Whether the programs are on the PATH that read machine code."""
    return all(shutil.which(tool) is not None for tool in TOOLS)


def dump(library: Path, what: str) -> str:
    """cuobjdump's output for sm_90, of a library or of the object that ``nvcc -cubin`` makes."""
    if not has_tools():
        raise SystemExit(
            "needs cuobjdump and nvdisasm on the PATH: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, "
            "and add site-packages/nvidia/cu13/bin to the PATH"
        )
    command = ["cuobjdump", "-arch", "sm_90", what, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def kernels_of(library: Path) -> tuple[list[Kernel], dict[str, tuple[int, tuple[Loop, ...]]]]:
    """The solver's forward and backward kernels; and all others, by name: registers, loops."""
    functions = re.split(r"\n\s*Function : ", dump(library, "-sass"))[1:]
    if not functions:
        raise SystemExit(
            f"{library} holds no machine code for sm_90: build it with CUDA, without SIGKERNEL_TF_CUDA_ARCHS"
        )
    registers = dict(re.findall(r"Function (\S+):\s+REG:(\d+)", dump(library, "-res-usage")))
    solver, others = [], {}
    for function in functions:
        symbol = function.split("\n", 1)[0].strip()
        used, loops = int(registers[symbol]), innermost_loops(function)
        found = re.match(
            r"_ZN9sigkernel\d+(forward|backward)_kernelI(?:NS_\d+AdjointI)?NS_\d+(\D+?\d*?)(?:ILi(\d+)E)?E+([fd])Li(\d)E(?:Li(\d)E)?",
            symbol,
        )
        if found:
            direction, rule, degree, dtype, rows, channels = found.groups()
            numbers = int(rows), int(channels or 0), used
            solver.append(
                Kernel(direction, rule, int(degree or 0), {"f": "float", "d": "double"}[dtype], *numbers, loops)
            )
        elif found := re.search(r"\d([a-z_]+_kernel)I([fd])E", symbol):
            others[f"{found[1]}<{'float' if found[2] == 'f' else 'double'}>"] = used, loops
    order = {"forward": 0, "backward": 1}
    return sorted(
        solver, key=lambda k: (order[k.direction], k.dtype, k.degree, k.rule, k.rows_per_lane, k.channels)
    ), others


def innermost_loops(machine_code: str) -> tuple[Loop, ...]:
    """The code between each jump backwards and its target that has no other such pair inside, in order."""
    lines = [(int(at, 16), text) for at, text in re.findall(r"/\*([0-9a-f]{4,5})\*/\s+(.*?);", machine_code)]
    place = {at: n for n, (at, _) in enumerate(lines)}
    jumps = []
    for n, (at, text) in enumerate(lines):
        to = re.search(r"\bBRA\b.*?0x([0-9a-f]+)", text)
        if to and int(to[1], 16) < at and int(to[1], 16) in place:
            jumps.append((place[int(to[1], 16)], n))
    inner = [j for j in jumps if not any(j[0] <= a and b <= j[1] and (a, b) != j for a, b in jumps)]
    names = [re.sub(r"^@!?U?P\w+\s+", "", text).split()[0].split(".")[0] for _, text in lines]
    return tuple(
        Loop(Counter(names[first : last + 1]), _rare(lines, names, place, first, last)) for first, last in sorted(inner)
    )


def _rare(lines: list[tuple[int, str]], names: list[str], place: dict[int, int], first: int, last: int) -> Counter:
    """Of a loop's instructions those in blocks that a jump inside it passes over, and that touch no shared memory."""
    rare: Counter = Counter()
    end = first
    for n in range(first, last):
        to = re.search(r"\bBRA\b.*?0x([0-9a-f]+)", lines[n][1])
        target = place.get(int(to[1], 16), n) if to else n
        if n >= end and n < target <= last:
            block = Counter(names[n + 1 : target])
            if not block["LDS"] and not block["STS"] and not block["SHFL"]:
                rare += block
                end = target
    return rare
