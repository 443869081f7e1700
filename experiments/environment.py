"""The environment of a run: its command, the versions of packages and code, and the machine."""

import os
import platform
import resource
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import sigkernel_tf

_PACKAGES = ("tensorflow", "gpflow", "keras", "tensorflow-probability", "numpy", "sktime", "tslearn")
_ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, Any]:
    """What a result depends on beside its data, options and seed, as JSON values."""
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {"sigkernel-tf": sigkernel_tf.__version__, **{name: _version(name) for name in _PACKAGES}},
        "git": {"revision": _git("rev-parse", "HEAD"), "changed_files": _changed_files()},
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "gpus": _gpus(),
        },
    }


def peak_memory_gb() -> float:
    """The most resident memory that this process has used so far, in 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _changed_files() -> int | None:
    status = _git("status", "--porcelain")
    return None if status is None else len(status.splitlines())


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _gpus() -> list[str]:
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
