"""What can be wrong with the compiled library becomes an ImportError with a cure when it is loaded."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf import _library


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation, a part of which a test may spoil."""
    monkeypatch.setattr(_library, "LIBRARY", tmp_path / "_ops.so")
    monkeypatch.setattr(_library, "VERSION_FILE", tmp_path / "_built_with_tensorflow.txt")
    (tmp_path / "_ops.so").write_bytes(b"not a library")  # a copy of the real one would register the operations again
    (tmp_path / "_built_with_tensorflow.txt").write_text(tf.__version__ + "\n")
    return tmp_path


def test_a_source_tree_without_a_library(folder: Path) -> None:
    (folder / "_ops.so").unlink()
    with pytest.raises(ImportError, match=r"no compiled library at .*pip install -e \."):
        _library.ops()


def test_another_release_of_tensorflow(folder: Path) -> None:
    (folder / "_built_with_tensorflow.txt").write_text("2.20.1\n")
    with pytest.raises(ImportError, match=rf"built with TensorFlow 2\.20\.1 .* under TensorFlow {tf.__version__}"):
        _library.ops()


def test_a_library_that_does_not_load(folder: Path) -> None:
    with pytest.raises(ImportError, match=r"built with TensorFlow .*The loader said: .*_ops\.so"):
        _library.ops()


def test_a_patch_release_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_file = tmp_path / "_built_with_tensorflow.txt"
    version_file.write_text(".".join([*tf.__version__.split(".")[:2], "99"]))
    monkeypatch.setattr(_library, "VERSION_FILE", version_file)
    assert hasattr(_library.ops(), "sigkernel_tf_signature_kernel")


def test_the_library_in_use_names_the_release_it_was_built_with() -> None:
    """Without that file, another release of TensorFlow would be met by the loader's message and not by ours."""
    assert _library.LIBRARY.exists()
    assert _library.VERSION_FILE.parent == _library.LIBRARY.parent
    assert _library.VERSION_FILE.read_text().split(".")[:2] == tf.__version__.split(".")[:2]


def test_an_error_says_what_the_operation_says_and_nothing_around_it() -> None:
    X = np.zeros((3, 4, 2))
    X[2, 3, 1] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"^X must hold finite numbers; path 2 .* padding\)\.$"):
        sk.signature_kernel(X, X)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"^X must hold finite numbers; path 2 .* padding\)\.$"):
        sk.signature(X, 2)


def test_every_operation_has_a_cpu_kernel_for_both_dtypes() -> None:
    from tensorflow.python.framework import kernels

    _library.ops()
    differentiable = [
        f"{name}{suffix}" for name in ("SignatureKernel", "SolveGoursat", "Signature") for suffix in ("", "Grad")
    ]
    weighing = ["SignatureKernelWeights", "SolveGoursatWeights"]
    for name in [*differentiable, *weighing, "DirectionalDerivative"]:
        registered = kernels.get_registered_kernels_for_op(f"SigkernelTf{name}").kernel
        types = {a.allowed_values.list.type[0] for k in registered for a in k.constraint if k.device_type == "CPU"}
        assert types == {tf.float32.as_datatype_enum, tf.float64.as_datatype_enum}, name


def test_a_forked_process_says_that_it_cannot_compute() -> None:
    """TensorFlow has computed something here, so its threads are missing in a fork, where operations would hang."""
    import sigkernel_tf as sk

    X = np.zeros((2, 3, 1))
    sk.signature_kernel_gram(X)
    functions = [
        lambda: sk.signature_kernel_gram(X),
        lambda: sk.paths.add_time(X),
        lambda: sk.signature_combine(X[0], X[0], 1),
        lambda: sk.solve_goursat(X),
    ]
    child = os.fork()
    if child == 0:  # it must never return to pytest
        signal.alarm(20)
        refused = 0
        for function in functions:
            try:
                function()
            except RuntimeError as error:
                refused += "forked" in str(error) and "multiprocessing.get_context('spawn')" in str(error)
            except BaseException:
                break
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(functions)
    sk.signature_kernel_gram(X)  # still works here


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(("before", "inside", "expected"), [
    ("import sigkernel_tf as sk", "sk.signature_kernel_gram(X)", 0),  # TensorFlow had not computed anything
    ("import tensorflow as tf; tf.constant(1.0) + 1.0", "import sigkernel_tf as sk; sk.signature_kernel_gram(X)", 7),
])  # fmt: skip
def test_a_process_forked_early(before: str, inside: str, expected: int) -> None:
    script = f"""
import os, signal
import numpy as np
X = np.zeros((40, 30, 2))
{before}
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        {inside}
    except RuntimeError as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == expected


def test_a_library_of_the_right_release_is_not_blamed_on_it(folder: Path) -> None:
    """What the loader says, such as a symbol that is missing, has another cause then."""
    with pytest.raises(ImportError) as caught:
        _library.ops()
    message = str(caught.value)
    assert f"built with TensorFlow {tf.__version__}, and its library does not load" in message
    assert "The release is not at fault" in message
    assert "--force-reinstall" in message
    assert "or install TensorFlow" not in message
