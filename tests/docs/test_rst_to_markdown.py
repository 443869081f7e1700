"""What the site makes of docstrings. Skipped where griffe is missing, which comes with the extra [docs]."""

import inspect
import runpy
from pathlib import Path
from typing import Any

import pytest

import sigkernel_tf as sk
import sigkernel_tf.gp

pytest.importorskip("griffe")
markdown = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docs" / "api" / "rst_to_markdown.py"))["markdown"]


TEXT = r"""As :func:`~sk.mmd` has, \|x\| is

>>> f()  # doctest: +SKIP
1

.. math:: a \cdot b

:param x: as in::

    y
"""
EXPECTED = """As `sk.mmd` has, |x| is

```pycon
>>> f()
1
```

```text
a · b
```

:param x: as in:

```python
y
```
"""


def test_what_is_translated() -> None:
    assert [line for line in markdown(TEXT).split("\n") if line] == [line for line in EXPECTED.split("\n") if line]


@pytest.mark.parametrize("named", [getattr(module, n) for module in (sk, sigkernel_tf.gp) for n in module.__all__])
def test_nothing_of_rst_is_left(named: Any) -> None:
    text = markdown(inspect.getdoc(named) or "")
    for mark in (":func:", ":class:", ":meth:", ":mod:", "\n.. ", "\\|"):
        assert mark not in text
    assert text.count("```") % 2 == 0
