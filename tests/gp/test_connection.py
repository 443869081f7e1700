"""How workers find each other before a training, without TensorFlow's part of it."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf
from loopback import free_addresses, tf_config
from training_toys import toy_data, toy_model, toy_options

from sigkernel_tf.gp import connect_workers, train
from sigkernel_tf.gp.training.connection import Cluster, cluster_of, meet


def test_addresses_of_tf_config() -> None:
    assert cluster_of({"TF_CONFIG": tf_config(["a:1", "b:2"], 1)}) == Cluster(("a:1", "b:2"), 1)
    with_chief = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    for kind, index, rank in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        config = {"cluster": with_chief, "task": {"type": kind, "index": index}}
        assert cluster_of({"TF_CONFIG": json.dumps(config)}) == Cluster(("a:1", "b:2", "c:3"), rank)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        tf_config(["a:1", "b:2"], 2),
        tf_config(["a:1", "a:1"], 0),
        tf_config(["a", "b:2"], 0),
        tf_config([], 0),
        json.dumps({"cluster": {"ps": ["a:1"], "worker": ["b:2"]}, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1", "b:2"]}}),
    ],
)
def test_a_tf_config_that_makes_no_sense_is_shown(text: str) -> None:
    with pytest.raises(ValueError, match="TF_CONFIG must hold a list of workers") as caught:
        cluster_of({"TF_CONFIG": text})
    assert repr(text) in str(caught.value)
    assert '"index": 0' in str(caught.value)


def test_no_addresses() -> None:
    with pytest.raises(ValueError, match="TF_CONFIG is not set: set it before Python starts"):
        cluster_of({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"})


def test_addresses_of_slurms_tasks() -> None:
    """As Slurm's manual (srun, OUTPUT ENVIRONMENT VARIABLES) writes nodes and tasks."""
    job = {
        "SLURM_JOB_ID": "1007",
        "SLURM_NTASKS": "6",
        "SLURM_STEP_NODELIST": "n[08-10],gpu-x",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1(x2)",
        "SLURM_PROCID": "3",
        "SLURM_NODEID": "1",
        "SLURM_LOCALID": "1",
    }
    found = cluster_of(job)
    hosts = [address.rpartition(":")[0] for address in found.addresses]
    ports = [int(address.rpartition(":")[2]) for address in found.addresses]
    assert hosts == ["n08", "n08", "n09", "n09", "n10", "gpu-x"]
    assert ports == [ports[0], ports[0] + 1, ports[0], ports[0] + 1, ports[0], ports[0]]
    assert found.rank == 3
    another = cluster_of({**job, "SLURM_JOB_ID": "1008"})
    assert not set(another.addresses) & set(found.addresses)
    with pytest.raises(ValueError, match="task 3 is number 0 on n09, expected number 1 on n09: .*distribution=block"):
        cluster_of({**job, "SLURM_LOCALID": "0"})


def meeting(clusters: list[Cluster], timeout: float) -> list[str]:
    """What the workers of some clusters raise when they meet, all at once; "" where nothing."""

    def one(cluster: Cluster) -> str:
        try:
            meet(cluster, timeout)
        except (OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    with ThreadPoolExecutor(len(clusters)) as threads:
        return list(threads.map(one, clusters))


def test_workers_meet_whoever_comes_first() -> None:
    addresses = tuple(free_addresses(3))
    assert meeting([Cluster(addresses, rank) for rank in (2, 0, 1)], 30.0) == ["", "", ""]


def test_all_that_have_come_name_those_that_have_not() -> None:
    addresses = tuple(free_addresses(3))
    found = meeting([Cluster(addresses, 0), Cluster(addresses, 2)], 1.0)
    for message in found:
        assert f"TimeoutError: no answer within 1 seconds from worker 1 ({addresses[1]}): start" in message
    [message] = meeting([Cluster(addresses, 1)], 0.3)
    assert f"from worker 0 ({addresses[0]}): start" in message


def test_workers_with_other_addresses_are_named() -> None:
    addresses = tuple(free_addresses(2))
    found = meeting([Cluster(addresses, 0), Cluster((addresses[0], "127.0.0.1:0"), 1)], 30.0)
    for message in found:
        assert "ValueError: all workers must have the same addresses, but worker 1 came with others" in message


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.create_server(("", 0)) as used:
        port = used.getsockname()[1]
        with pytest.raises(OSError, match=f"worker 0 cannot listen on port {port} of here:{port} .*: an earlier run"):
            meet(Cluster((f"here:{port}",), 0), 1.0)


def test_connecting_comes_first() -> None:
    tf.constant(0.0)
    with pytest.raises(RuntimeError, match="must come before anything is computed with TensorFlow"):
        connect_workers()
    for timeout in (0, -1.0, "2", True):
        with pytest.raises(ValueError, match="timeout must be a positive number of seconds, got"):
            connect_workers(timeout)


def test_training_refuses_another_strategy_and_none_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="MultiWorkerMirroredStrategy, got OneDeviceStrategy: .* connect_workers"):
        train(toy_model(), toy_data(), toy_options(), strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:2", "c:3"], 0))
    with pytest.raises(ValueError, match="strategy must be given where TF_CONFIG names 3 workers, got None"):
        train(toy_model(), toy_data(), toy_options())
