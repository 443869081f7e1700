"""The core under sanitizers, built with only g++: memory errors, undefined behaviour, races between threads."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from core_objects import ROOT, build_core

FLAGS = ["-std=gnu++17", "-O1", "-g1", "-pthread"]

pytestmark = pytest.mark.slow


def skip_without(sanitizers: list[str], folder: Path) -> None:
    """Some machines have no g++, not its sanitizers' libraries, or a kernel that they do not run under."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    (folder / "empty.cc").write_text("int main() {}\n")
    built = subprocess.run(
        ["g++", *sanitizers, folder / "empty.cc", "-o", folder / "empty"], capture_output=True, text=True, check=False
    )
    if built.returncode != 0 or subprocess.run([folder / "empty"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{' '.join(sanitizers)} does not work on this machine: {built.stderr[:200]}")


@pytest.mark.parametrize(
    "sanitizers",
    [
        pytest.param(
            ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            marks=pytest.mark.ci,
            id="address and undefined behaviour",
        ),
        pytest.param(["-fsanitize=thread"], id="threads"),
    ],
)
def test_the_core_is_clean(sanitizers: list[str], tmp_path: Path) -> None:
    skip_without(sanitizers, tmp_path)
    flags = [*FLAGS, *sanitizers]
    driver = Path(__file__).parent / "drive_core.cc"
    objects = build_core(tmp_path, flags)
    program = tmp_path / "drive"
    subprocess.run(["g++", *flags, f"-I{ROOT / 'csrc'}", driver, *objects, "-o", program], check=True)
    for name in ("avx512", "avx2", "baseline"):
        environment = {**os.environ, "SIGKERNEL_TF_SIMD": name}
        done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr[:4000]}"
        assert "all went well" in done.stdout
