"""The first line of a script that several processes run: find all the others, and let TensorFlow connect them."""

import contextlib
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

_RETRY_SECONDS = 0.1
_WAIT_SECONDS = 2.0  # for a line of another worker that has connected
_CURE = (
    "set it before Python starts, with the same list of host:port on all workers and another index on each, for "
    'instance TF_CONFIG=\'{"cluster": {"worker": ["first:12345", "second:12345"]}, "task": {"type": "worker", '
    '"index": 0}}\'.'
)


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, host:port, and the number of this one among them; the first is the chief."""

    addresses: tuple[str, ...]
    rank: int


def connect_workers(timeout: float = 120.0) -> tf.distribute.MultiWorkerMirroredStrategy:
    """
    Connect the processes that run this script, one on each machine or GPU, to share the work of :func:`train`.

    >>> strategy = connect_workers()  # before anything is computed with TensorFlow  # doctest: +SKIP
    >>> train(model, (rows, Y), strategy=strategy)  # doctest: +SKIP

    The addresses are those in the environment variable ``TF_CONFIG``, which Ray Train sets, too; or those of the tasks
    that Slurm's ``srun`` has started. This call waits until all workers have come. Without that, TensorFlow would wait
    for half an hour for one that never starts, and would not say for which.

    :param timeout: how many seconds to wait for the others.
    :return: a strategy for the argument ``strategy``.
    :raises ValueError: where there are no addresses, or where they are not the same on all workers.
    :raises TimeoutError: where workers have not come in time, naming them.
    :raises RuntimeError: where TensorFlow has computed something before, and cannot connect any more.
    :raises OSError: where the port of this worker is in use.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}: for instance 120.")
    if context.context()._initialized:  # TensorFlow has no public way to ask
        raise RuntimeError(
            "connect_workers() must come before anything is computed with TensorFlow: make it the script's first line "
            "after the imports."
        )
    cluster = cluster_of(dict(os.environ))
    meet(cluster, timeout)
    if not os.environ.get("TF_CONFIG"):  # which TensorFlow reads
        task = {"type": "worker", "index": cluster.rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster.addresses}, "task": task})
    return tf.distribute.MultiWorkerMirroredStrategy()


def cluster_of(environment: dict[str, str]) -> Cluster:
    """
    The workers that the environment variables name.

    :raises ValueError: where they name none, or contradict themselves.
    """
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    if int(environment.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in environment:
        return _of_slurm(environment)
    raise ValueError(f"connect_workers() needs the workers' addresses, but TF_CONFIG is not set: {_CURE}")


def _of_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
        kinds, kind, index = config["cluster"], config["task"]["type"], int(config["task"]["index"])
        chief, others = list(kinds.get("chief", [])), list(kinds.get("worker", []))
        addresses, rank = tuple(chief + others), index + (len(chief) if kind == "worker" else 0)
        is_valid = kind in kinds and set(kinds) <= {"chief", "worker"} and index >= 0 and rank < len(addresses)
        is_valid &= all(re.fullmatch(r".+:\d+", one) for one in addresses) and len(set(addresses)) == len(addresses)
        error = None
    except (ValueError, KeyError, TypeError, AttributeError) as caught:
        is_valid, error = False, caught
    if not is_valid:
        raise ValueError(
            f"TF_CONFIG must hold a list of workers, each host:port once, and the number of this one, got {text!r}: "
            f"{_CURE}"
        ) from error
    return Cluster(addresses, rank)


def _of_slurm(environment: dict[str, str]) -> Cluster:
    """
    The tasks of a job step, numbered node by node, as ``srun`` does unless it is told otherwise.

    The ports follow from the job's number, so that two jobs on one node do not meet.
    """
    nodes = _expanded(environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"])
    counts = _counts(environment.get("SLURM_STEP_TASKS_PER_NODE") or environment["SLURM_TASKS_PER_NODE"])
    places = [(node, local) for node, count in zip(nodes, counts, strict=True) for local in range(count)]
    rank, node = int(environment["SLURM_PROCID"]), environment.get("SLURM_NODEID")
    here = (nodes[int(node)] if node is not None else places[rank][0], int(environment.get("SLURM_LOCALID", "0")))
    if here != places[rank]:
        raise ValueError(
            f"Slurm's tasks must be numbered node by node, but task {rank} is number {here[1]} on {here[0]}, expected "
            f"number {places[rank][1]} on {places[rank][0]}: take srun --distribution=block."
        )
    first = 20000 + 64 * (int(environment.get("SLURM_JOB_ID", "0")) % 500)
    return Cluster(tuple(f"{node}:{first + local}" for node, local in places), rank)


def _expanded(nodes: str) -> list[str]:
    """The hosts of Slurm's short form, such as ``a[1-3,07],b``."""
    found: list[str] = []
    for name, ranges, rest in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\]([^,\[]*))?", nodes):
        for part in ranges.split(",") if ranges else [None]:
            if part is None:
                found.append(name)
                continue
            first, _, last = part.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            found += [f"{name}{number:0{len(first)}d}{rest}" for number in numbers]
    return found


def _counts(tasks: str) -> list[int]:
    """The numbers of Slurm's short form, such as ``2(x3),1``."""
    return [
        int(count)
        for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks)
        for _ in range(int(times) if times else 1)
    ]


def meet(cluster: Cluster, timeout: float) -> None:
    """
    Wait until all workers have reported to the first one, and have heard from it that all are there.

    Each listens on its own port meanwhile, which TensorFlow takes afterwards. So a port that is in use is seen here.

    :raises TimeoutError: where workers have not come in time, naming them.
    :raises ValueError: where another worker has other addresses.
    """
    deadline = time.monotonic() + timeout
    port = int(cluster.addresses[cluster.rank].rpartition(":")[2])
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise OSError(
            error.errno,
            f"worker {cluster.rank} cannot listen on port {port} of {cluster.addresses[cluster.rank]} "
            f"({error.strerror}): an earlier run may still use it; end that, or take another port.",
        ) from error
    with listener:
        verdict = _receive(listener, cluster, deadline) if cluster.rank == 0 else _report(cluster, timeout)
    if verdict.get("other"):
        raise ValueError(
            f"all workers must have the same addresses, but {', '.join(verdict['other'])} came with others than "
            f"worker 0, which has {', '.join(cluster.addresses)}: give all of them one list."
        )
    if verdict["missing"]:
        missing = ", ".join(f"worker {rank} ({cluster.addresses[rank]})" for rank in verdict["missing"])
        raise TimeoutError(
            f"no answer within {timeout:g} seconds from {missing}: start the script there, too, with this list of "
            "addresses; or see whether a firewall is in between."
        )


def _receive(listener: socket.socket, cluster: Cluster, deadline: float) -> dict[str, Any]:
    """What the first worker has found once all have reported or the time is over, which it tells those that have."""
    missing, reported = set(range(1, len(cluster.addresses))), []
    other: list[str] = []
    while missing and not other and (left := deadline - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            break
        try:
            connection.settimeout(_WAIT_SECONDS)
            rank, addresses = json.loads(connection.makefile("r").readline())
            rank = int(rank)
        except (OSError, ValueError, TypeError):  # somebody else's connection
            connection.close()
            continue
        reported.append(connection)
        missing.discard(rank)
        if tuple(addresses) != cluster.addresses:
            other.append(f"worker {rank}")
    verdict = {"missing": sorted(missing), "other": other}
    for connection in reported:
        with connection, contextlib.suppress(OSError):  # of one that has gone, of which TensorFlow will hear
            connection.sendall((json.dumps(verdict) + "\n").encode())
    return verdict


def _report(cluster: Cluster, timeout: float) -> dict[str, Any]:
    """Report to the first worker, as soon as it listens, and return what it has found."""
    deadline = time.monotonic() + timeout
    host, _, port = cluster.addresses[0].rpartition(":")
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=left) as connection:
                connection.sendall((json.dumps([cluster.rank, cluster.addresses]) + "\n").encode())
                connection.settimeout(timeout + _WAIT_SECONDS)  # the first worker may only now have begun to wait
                if line := connection.makefile("r").readline():
                    return json.loads(line)
        except OSError:
            pass  # it does not listen yet
        time.sleep(_RETRY_SECONDS)
    return {"missing": [0], "other": []}
