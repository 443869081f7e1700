"""
Draws the pictures of docs/gallery.md, by running the examples on that page, which save them.

Run it with ``python docs/pictures/draw_gallery.py [FOLDER]``; it takes some twenty seconds.
"""

import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

HERE = Path(__file__).resolve().parent
EXAMPLES = "\n".join(re.findall(r"```python\n(.*?)```", (HERE.parent / "gallery.md").read_text(), flags=re.DOTALL))
PICTURES = re.findall(r'savefig\("(\w+)\.png"', EXAMPLES)


def main(folder: Path) -> None:
    matplotlib.use("Agg")
    os.chdir(folder)
    exec(EXAMPLES, {})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
