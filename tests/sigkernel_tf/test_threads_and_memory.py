"""Threads and a limit on memory, which are tested in processes of their own: they can be set only once, or for all."""

import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

# Some processors have TensorFlow's other allocator, and many threads have arenas: both reserve memory that no one uses.
NOTHING_RESERVED = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_ARENA_MAX": "2"}


def printed(script: str, *arguments: str, environment: dict[str, str] | None = None) -> dict:
    """The JSON that ``script`` prints, in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables)
    return json.loads(done.stdout)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    script = """
        import functools, hashlib, json, sys
        import numpy as np, tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
        import sigkernel_tf as sk
        def hashed(function, X):
            x = tf.constant(X)
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return hashlib.sha256(value.numpy().tobytes() + tape.gradient(value, x).numpy().tobytes()).hexdigest()
        X = np.random.default_rng(0).normal(size=(70, 20, 2)).cumsum(1) / 5
        found = {
            "gram": hashed(sk.signature_kernel_gram, X),
            "diagonal": hashed(sk.signature_kernel_diag, X),
            "pairs": hashed(lambda x: sk.signature_kernel(x, x[::-1]), X),
        }
        for count, length, channels, num_words, stream in (
            (70, 20, 2, 127, False), (2, 3000, 3, 121, False), (40, 9, 4, 50, True), (3, 9, 30, 900, False),
            (300, 60, 3, 364, False), (300, 60, 5, 156, True),  # enough work for threads
        ):
            X = np.random.default_rng(0).normal(size=(count, length, channels)).cumsum(1) / length
            signature = functools.partial(sk.signature, num_words=num_words, stream=stream)
            found[f"signature of {count} paths, {channels} channels"] = hashed(signature, X)
        print(json.dumps(found))
    """
    alone, together = (printed(script, number) for number in ("1", "3"))
    assert alone == together


@pytest.fixture(scope="module")
def under_a_limit() -> dict:
    """
    What the operations say in a process whose memory is limited, for each case in turn.

    The limit of a case is the memory that the process has before it, and so many megabytes more.
    """
    script = """
        import contextlib, json, resource
        import numpy as np, tensorflow as tf, sigkernel_tf as sk
        @contextlib.contextmanager
        def limit(megabytes):
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
            yield
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        def gradient(paths, num_words, stream):
            with tf.GradientTape() as tape:
                tape.watch(paths)
                value = sk.signature(paths, num_words=num_words, stream=stream)
            return tape.gradient(value, paths)
        found = {}
        for name, shape, num_words, stream, megabytes in (
            ("short with many channels", (1, 3, 20_000), 20_011, False, 200),  # all words of level 2 would be 3200 MB
            ("long", (1, 100_000, 3), 1093, False, 200),  # a signature at each step would be 870 MB
            # The stream and its derivative are 350 MB each, another as much.
            ("stream", (1, 40_000, 3), 1093, True, 2 * 350 + 200),
        ):
            x = tf.constant(np.random.default_rng(0).normal(size=shape).cumsum(1) / 1000)
            gradient(x[:, :2000], num_words, stream)
            with limit(megabytes):
                found[name] = bool(np.isfinite(gradient(x, num_words, stream)).all())
        X = np.random.default_rng(0).normal(size=(1, 4000, 2)).cumsum(1) / 300
        sk.signature_kernel(X[:, :50], X[:, 50:], return_error=True)
        with limit(128):  # U and W at all nodes would be 256 MB
            k, error = sk.signature_kernel(X, X * X, return_error=True)
            found["estimate"] = float(error[0]) < 1e-9
        X = np.zeros((2, 1000, 1))
        sk.signature_kernel(X[:, :3], X[:, :3])
        with limit(256):
            try:
                sk.signature_kernel(X, X, solver=sk.FiniteDifference(15))
            except tf.errors.ResourceExhaustedError as error:
                found["too much"] = error.message
        X = tf.constant(np.zeros((256, 2, 5000)))  # 20 MB, and the gradient's sums 16 times as much
        with tf.GradientTape() as tape:
            tape.watch(X)
            K = sk.signature_kernel_gram(X)
        with limit(200):
            try:
                tape.gradient(K, X)
            except tf.errors.ResourceExhaustedError as error:
                found["too much, without a size"] = error.message
        print(json.dumps(found))
    """
    return printed(script, environment=NOTHING_RESERVED)


@pytest.mark.parametrize("case", ["short with many channels", "long", "stream"])
def test_memory_is_that_of_the_result_and_of_some_signatures(case: str, under_a_limit: dict) -> None:
    assert under_a_limit[case] is True


def test_an_estimate_of_the_error_keeps_no_grid(under_a_limit: dict) -> None:
    assert under_a_limit["estimate"] is True


def test_memory_that_runs_out_is_an_error_that_says_how_much(under_a_limit: dict) -> None:
    message = r"ran out of memory: no room for another \d{3,} MB of the sweep over a grid. Pass fewer"
    assert re.search(message, under_a_limit["too much"])


def test_memory_that_runs_out_where_the_size_is_not_known(under_a_limit: dict) -> None:
    message = r"ran out of memory: no room for the sweep over a grid. Pass fewer"
    assert re.search(message, under_a_limit["too much, without a size"])
