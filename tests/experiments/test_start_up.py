"""A command's output is its own: nothing of what TensorFlow's libraries print while they load."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_import_prints_nothing_and_what_follows_is_printed() -> None:
    done = run(
        "import os, sys; from experiments.start_up import import_tensorflow\n"
        "import_tensorflow()\n"
        "assert 'tensorflow' in sys.modules\n"
        "os.write(2, b'what follows')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "what follows")


def test_where_the_import_fails_all_is_shown() -> None:
    done = run(
        "import os, sys; from experiments.start_up import import_tensorflow\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow':\n"
        "            os.write(2, b'from the library')\n"
        "            raise ImportError('does not load')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import_tensorflow()"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("from the library")
    assert done.stderr.endswith("ImportError: does not load\n")
