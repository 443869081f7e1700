"""What show_versions prints."""

import importlib.metadata
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import sigkernel_tf as sk
from sigkernel_tf import _library, _versions


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    sk.show_versions()
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def test_versions(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGKERNEL_TF_SIMD", "baseline")
    found = printed(capsys)
    assert found["sigkernel_tf"].startswith(f"{sk.__version__} in ")
    assert found["tensorflow"] == tf.__version__
    assert found["numpy"] == np.__version__
    assert found["gpflow"] == importlib.metadata.version("gpflow")
    assert re.fullmatch(r"built with TensorFlow 2\.\d+\.\d+, \d+ MB", found["operations"])
    assert "CPU:0" in found["devices"]
    assert found["SIGKERNEL_TF_SIMD"] == "baseline"


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_library, "LIBRARY", Path("nowhere/_ops.so"))
    monkeypatch.setattr(_versions, "_OTHERS", ("no-such-package",))
    found = printed(capsys)
    assert found["operations"].startswith("do not load: sigkernel_tf has no compiled library at nowhere/_ops.so")
    assert found["no-such-package"] == "not installed"
