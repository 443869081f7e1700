"""Imports TensorFlow without the notes that its libraries print while they load."""

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """
    Import TensorFlow, with the first lines of a command's output kept for the command.

    Its libraries say on loading that oneDNN is used and that no GPU was found, whatever TF_CPP_MIN_LOG_LEVEL says. What
    they print is therefore taken from the standard error's file descriptor, and given back where the import fails.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            notes.seek(0)
            os.write(screen, notes.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
