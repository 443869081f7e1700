"""The core under sanitizers, built with g++ alone: memory errors, undefined behaviour, races between threads."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "csrc" / "core"
FLAGS = ["-std=gnu++17", "-O1", "-g1", "-pthread", f"-I{ROOT / 'csrc'}"]
INSTRUCTION_SETS = {
    "goursat/avx512.cc": ["-mavx512f", "-mavx512dq", "-mavx512vl"],
    "goursat/avx2.cc": ["-mavx2", "-mfma"],
    "quadratic_forms/avx512.cc": ["-mavx512f", "-mavx512dq", "-mavx512vl"],
    "quadratic_forms/avx2.cc": ["-mavx2", "-mfma"],
    "signature/avx512.cc": ["-mavx512f", "-mavx512dq", "-mavx512vl"],
    "signature/avx2.cc": ["-mavx2", "-mfma"],
}

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
    [["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-fsanitize=thread"]],
    ids=["address and undefined behaviour", "threads"],
)
def test_the_core_is_clean(sanitizers: list[str], tmp_path: Path) -> None:
    skip_without(sanitizers, tmp_path)
    objects = []
    for source in [*sorted(CORE.rglob("*.cc")), Path(__file__).parent / "drive_core.cc"]:
        objects.append(tmp_path / f"{source.parent.name}_{source.stem}.o")
        flags = [*FLAGS, *sanitizers, *INSTRUCTION_SETS.get(f"{source.parent.name}/{source.name}", [])]
        subprocess.run(["g++", *flags, "-c", source, "-o", objects[-1]], check=True)
    program = tmp_path / "drive"
    subprocess.run(["g++", *FLAGS, *sanitizers, *objects, "-o", program], check=True)
    for name in ("avx512", "avx2", "baseline"):
        environment = {**os.environ, "SIGKERNEL_TF_SIMD": name}
        done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr[:4000]}"
        assert "all went well" in done.stdout
