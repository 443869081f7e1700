"""The house rules that design keeps: one-way layers, a core without TensorFlow, lazy public names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each layer may import itself and those to its left.
LAYERS = ["sigkernel_tf", "gp", "experiments"]


def layer_of(module: str) -> str | None:
    """The layer that an absolute module name belongs to; None: not ours."""
    parts = module.split(".")
    if parts[:2] == ["sigkernel_tf", "gp"]:
        return "gp"
    return parts[0] if parts[0] in LAYERS else None


def package_of(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "gp":
        parts = ["sigkernel_tf", *parts]
    return parts[:-1]


def imported_modules(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = package_of(path)
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            names += [".".join([*module, alias.name]) for alias in node.names]
    return names


def sources(layer: str) -> list[Path]:
    folder = ROOT / layer
    return [
        p for p in sorted(folder.rglob("*.py")) if not (layer == "sigkernel_tf" and "gp" in p.relative_to(folder).parts)
    ]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    assert sources(layer)
    for path in sources(layer):
        for module in imported_modules(path):
            assert layer_of(module) in (*allowed, None), f"{path.relative_to(ROOT)} imports {module}"


def test_a_backward_import_would_be_seen(tmp_path: Path) -> None:
    """The test above must be able to fail: relative and absolute imports both resolve to their layer."""
    assert layer_of("sigkernel_tf.gp.kernels") == "gp"
    assert layer_of("sigkernel_tf.goursat.PowerSeries") == "sigkernel_tf"
    kernels = imported_modules(ROOT / "gp" / "kernels" / "signature.py")
    assert any(layer_of(module) == "sigkernel_tf" for module in kernels)


# gp: each package may import those above it, and nothing below.
GP_LAYERS = [
    {"_checks", "_chunks", "_quadrature", "_requirements"},
    {"kernels"},
    {"inducing_variables"},
    {"covariances"},
    {"posteriors", "data"},
    {"models", "prediction", "interpretation"},
    {"training"},
    {"estimators"},
]


def gp_part(module: str) -> str:
    """The package or module directly under gp that an absolute module name belongs to; "" for another module."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["sigkernel_tf", "gp"] and len(parts) > 2 else ""


def test_imports_between_gps_packages_go_one_way() -> None:
    allowed: set[str] = set()
    known = set().union(*GP_LAYERS)
    for names in GP_LAYERS:
        for name in names:
            allowed_here = {*allowed, name}
            folder = ROOT / "gp" / name
            for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]:
                found = {gp_part(module) for module in imported_modules(path)} & known
                assert found <= allowed_here, f"{path.relative_to(ROOT)} imports {sorted(found - allowed_here)}"
        allowed |= names


def test_every_part_of_gp_has_its_place() -> None:
    parts = {path.stem for path in (ROOT / "gp").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == set().union(*GP_LAYERS)
    imported = [gp_part(module) for module in imported_modules(ROOT / "gp" / "covariances" / "tensors.py")]
    assert {"kernels", "inducing_variables"} <= set(imported)
    assert gp_part("sigkernel_tf.paths.pad_ragged") == ""


def test_no_module_of_gp_is_long() -> None:
    for path in sorted((ROOT / "gp").rglob("*.py")):
        lines = len(path.read_text().splitlines())
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: split it by subject."


def included(path: Path) -> list[str]:
    return re.findall(r'#include\s+[<"]([^>"]+)[>"]', path.read_text())


CORE = ROOT / "csrc" / "core"
# The core's folders, and which of the others each may include. All may include the general headers beside the folders.
CORE_FOLDERS: dict[str, tuple[str, ...]] = {
    ".": (),
    "device": (),
    "simd": (),
    "goursat": ("simd",),
    "goursat/cuda": ("goursat", "device"),
    "signature": ("simd", "device"),
    "quadratic_forms": ("simd",),
}
GENERAL_HEADERS = {
    "arena.h",
    "arithmetic.h",
    "host_device.h",
    "inverse_factorials.h",
    "memory.h",
    "parallel.h",
    "shared_loop.h",
}
# These bring the loops of all folders together, to compile them for each instruction set.
WHERE_LOOPS_MEET = {"simd/dispatch.h", "simd/instruction_set.cc"}


def core_files() -> list[Path]:
    files = [path for path in sorted(CORE.rglob("*")) if path.is_file()]
    assert len(files) > 20
    return files


def folder_in_core(path: Path) -> str:
    return path.relative_to(CORE).parent.as_posix()


def test_the_core_includes_no_tensorflow_and_no_eigen() -> None:
    for path in core_files():
        for header in included(path):
            assert not re.match(r"(tensorflow|xla|tsl|absl|Eigen|unsupported)\b", header), f"{path.name}: {header}"
            assert header.startswith("core/") or "/" not in header, f"{path.name}: {header}"


def test_every_file_of_the_core_lies_in_the_folder_of_its_subject() -> None:
    for path in core_files():
        assert folder_in_core(path) in CORE_FOLDERS, path
        assert folder_in_core(path) != "." or path.name in GENERAL_HEADERS, path


def test_includes_go_one_way_between_the_cores_folders() -> None:
    for path in core_files():
        name, folder = path.relative_to(CORE).as_posix(), folder_in_core(path)
        if name in WHERE_LOOPS_MEET:
            continue
        for header in included(path):
            if header.startswith("core/"):
                other = folder_in_core(ROOT / "csrc" / header)
                assert other in (".", folder, *CORE_FOLDERS[folder]), f"{name} includes {header}"
                assert header.removeprefix("core/") not in WHERE_LOOPS_MEET or name == "simd/dispatch.cc", name


def test_the_library_is_loaded_in_one_place() -> None:
    for layer in LAYERS:
        for path in sources(layer):
            if path.name != "_library.py":
                assert "load_op_library" not in path.read_text(), path


def test_build_requirements_pin_tensorflow_as_the_package_does() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert len(set(re.findall(r'"(tensorflow>=[^"]*)"', text))) == 1
    assert len(re.findall(r'"tensorflow>=[^"]*"', text)) == 2


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_no_tensorflow() -> None:
    assert run("import sys, sigkernel_tf; print('tensorflow' in sys.modules, 'gpflow' in sys.modules)") == "False False"


def test_every_public_name_resolves_whatever_comes_first() -> None:
    """A module with a function's name would replace the function in the package once it is imported."""
    code = (
        "import types, sigkernel_tf as sk\n"
        "import sigkernel_tf.signatures, sigkernel_tf.signature_kernels, sigkernel_tf.goursat, sigkernel_tf.gp\n"
        "modules = {n for n in sk.__all__ if isinstance(getattr(sk, n), types.ModuleType)}\n"
        "print(sorted(modules), all(n in dir(sk) for n in sk.__all__))"
    )
    assert run(code) == "['gp', 'paths', 'static_kernels'] True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert run("import sigkernel_tf as sk; print(hasattr(sk, 'nonsense'))") == "False"


def test_every_package_is_installed() -> None:
    """A folder that pyproject.toml does not name works in a checkout and is missing from the wheel."""
    text = (ROOT / "pyproject.toml").read_text()
    for folder in [ROOT / "sigkernel_tf", *(path.parent for path in (ROOT / "gp").rglob("__init__.py"))]:
        package = ".".join([*package_of(folder / "__init__.py")])
        assert f'"{package}"' in text, package
