"""What sigkernel_tf.gp offers."""

import pytest

import sigkernel_tf.gp


@pytest.mark.parametrize("name", sigkernel_tf.gp.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(sigkernel_tf.gp, name).__name__ == name
    assert name in dir(sigkernel_tf.gp)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="'sigkernel_tf.gp' has no attribute 'SigGPDEs'"):
        _ = sigkernel_tf.gp.SigGPDEs
