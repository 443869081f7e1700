"""What can be wrong with the compiled library becomes an ImportError with a cure when it is loaded."""

from pathlib import Path

import pytest
import tensorflow as tf

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
