"""The instructions of CUDA kernels, counted in the machine code of the loops in which they spend their time."""

import math
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

CHANNELS_AT_ONCE = 4  # kChunk of csrc/core/goursat/cuda/tile.cuh
STEPS_AT_ONCE = 4  # kAtOnce of form_linear there
STEPS_TO_LOOK = 8  # kStepsToLook of csrc/core/goursat/inspection.h
COMPARING = ("FSETP", "DSETP", "FMNMX")
FLOATING = ("DFMA", "DMUL", "DADD", "FFMA", "FMUL", "FADD")
TOOLS = ("cuobjdump", "nvdisasm")


@dataclass(frozen=True)
class Loop:
    """
    The number of instructions of each kind in a loop that has no other loop inside.

    ``around`` are those of the next loop around it, without what is inside of this one and its neighbours: of a forward
    kernel's sweep, the look that a power series takes at its edges once in some steps.
    """

    kinds: Counter
    around: Counter

    @property
    def instructions(self) -> float:
        """How many are executed in a step."""
        return sum(self.kinds.values())

    @property
    def looked(self) -> float:
        """The same with those of the loop around it, which is taken once in some steps."""
        return self.instructions + sum(self.around.values()) / STEPS_TO_LOOK

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
        found = tuple(
            x
            for x in self.loops
            if x.kinds["SHFL"] and 8 * (x.floating + sum(x.kinds[kind] for kind in COMPARING)) > sum(x.kinds.values())
        )
        # Forward kernels have a loop for half a grid, too, which takes some more.
        expected = 2 if self.direction == "forward" else 4
        assert len(found) == expected, f"{self.name}: {len(found)} loops with shuffles, not {expected}"
        return found if self.direction == "backward" else (min(found, key=lambda x: x.instructions),)

    def _linear(self, is_forming: bool) -> list[float]:
        """The instructions of a step in each loop that handles four channels of the linear static kernel."""
        at_once = STEPS_AT_ONCE if is_forming else 1
        return [
            loop.instructions / at_once
            for loop in self.loops
            if loop.kinds["LDS"] and not loop.kinds["SHFL"] and not loop.kinds["LDG"]
            if loop.floating == at_once * CHANNELS_AT_ONCE * self.rows_per_lane
            and bool(loop.kinds["STS"]) == is_forming
        ]

    def _turns(self, is_kept: bool) -> list[tuple[float, float]]:
        """
        The instructions of a step and the floating ones, in each loop over a tile's steps of a kernel for few channels.

        Several steps are written out. Between lanes one number passes at each step, and on the way back also U and the
        gradient by the column's segment. Loops of single steps do what is left over, and others wait.
        """
        words = 1 if self.dtype == "float" else 2
        written_out = [
            x for x in self.loops if not x.kinds["BSSY"] and x.kinds["SHFL"] > words and x.floating > x.kinds["SHFL"]
        ]
        back = min(written_out, key=lambda x: x.floating / x.kinds["SHFL"]) if self.direction == "backward" else None
        expected = 1 if self.direction == "forward" else 4
        assert len(written_out) == expected, f"{self.name}: {len(written_out)} loops of several steps, not {expected}"
        turns = []
        for loop in written_out if is_kept or self.direction == "forward" else written_out[1:]:
            steps = loop.kinds["SHFL"] / words / (2 + self.channels if loop is back else 1)
            turns.append((loop.instructions / steps, loop.floating / steps))
        return turns

    def step(self, channels: int, is_kept: bool) -> tuple[float, float]:
        """
        The instructions of a step, and the floating-point ones among them, for the linear static kernel.

        :param is_kept: whether a backward kernel must first compute the rows of several strips, in one more sweep.
        """
        if self.channels > 0:
            turns = self._turns(is_kept)
            return sum(instructions for instructions, _ in turns), sum(floating for _, floating in turns)
        sweeps = self.sweeps if is_kept or self.direction == "forward" else self.sweeps[1:]
        forming = self._linear(is_forming=True)[: len(sweeps) if self.direction == "forward" else len(sweeps) - 1]
        chunks = math.ceil(channels / CHANNELS_AT_ONCE)
        linear = [*forming, *(self._linear(is_forming=False) if self.direction == "backward" else [])]
        looks = self.direction == "forward" and self.rule == "PowerSeries"
        return (
            sum(x.looked if looks else x.instructions for x in sweeps) + chunks * sum(linear),
            sum(x.floating for x in sweeps) + chunks * len(linear) * CHANNELS_AT_ONCE * self.rows_per_lane,
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
        Loop(Counter(names[first : last + 1]), _around(names, jumps, inner, first, last))
        for first, last in sorted(inner)
    )


def _around(
    names: list[str], jumps: list[tuple[int, int]], inner: list[tuple[int, int]], first: int, last: int
) -> Counter:
    """The instructions of the smallest loop around another, without those of all innermost loops."""
    outer = [(a, b) for a, b in jumps if a <= first and last <= b and (a, b) != (first, last)]
    if not outer:
        return Counter()
    begin, end = min(outer, key=lambda j: j[1] - j[0])
    return Counter(names[n] for n in range(begin, end + 1) if not any(a <= n <= b for a, b in inner))
