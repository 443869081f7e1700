"""Words by relevance: against a direct computation, and where the truth is known."""

import gpflow
import matplotlib
import numpy as np
import pytest
from gpflow.inducing_variables import SeparateIndependentInducingVariables, SharedIndependentInducingVariables

import sigkernel_tf as sk
from sigkernel_tf.gp import (
    OrthogonalSignatureFeatures,
    SigGPDE,
    SignatureKernel,
    TrainingOptions,
    flatten_paths,
    train,
    word_relevance,
)

matplotlib.use("Agg")


@pytest.fixture
def model(rng: np.random.Generator) -> SigGPDE:
    model = SigGPDE(2, 7, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3, lengthscales=[0.5, 2.0])
    model.q_mu.assign(rng.normal(size=(7, 3)))
    return model


def test_relevance_is_the_mean_times_the_features_spread(model: SigGPDE, rng: np.random.Generator) -> None:
    paths = rng.normal(size=(1203, 4, 2))  # several batches
    S = sk.signature(paths / np.array([0.5, 2.0]), num_words=7).numpy()
    spread, means, words = S.std(axis=0), model.q_mu.numpy(), sk.words(2, 7)
    result = word_relevance(model, ["a", "b"], X=flatten_paths(paths))
    assert len(result) == 6 * 3  # the empty word is left out
    for row in result:
        m = words.index(row.word)
        assert row.relevance == pytest.approx(abs(means[m, row.process]) * spread[m], rel=1e-10)
        assert row.sign == np.sign(means[m, row.process])
        assert row.level == len(row.word)
        assert row.name == " → ".join("ab"[i] for i in row.word)
    relevances = [row.relevance for row in result]
    assert relevances == sorted(relevances, reverse=True)
    assert {row.process for row in result.of_process(1)} == {1}


def test_without_data_the_means_decide(model: SigGPDE) -> None:
    result = word_relevance(model, ["a", "b"])
    assert result[0].relevance == pytest.approx(np.abs(model.q_mu.numpy()[1:]).max())
    assert word_relevance(model)[0].name.startswith("channel ")


def test_the_word_that_decides_is_found(rng: np.random.Generator) -> None:
    """The class is the sign of the Lévy area of two channels of three: what 0 → 1 has more of than 1 → 0."""
    paths = rng.normal(size=(300, 6, 3)).cumsum(axis=1)
    paths -= paths[:, :1]
    paths[:, -1, :2] = 0.0  # loops in the first two channels: there the area is the one thing at level 2
    S = sk.signature(paths, num_words=13).numpy()
    words = sk.words(3, 13)
    area = S[:, words.index((0, 1))] - S[:, words.index((1, 0))]
    Y = (area > 0).astype(float)[:, None]
    model = SigGPDE(3, 13, likelihood=gpflow.likelihoods.Bernoulli(), lengthscales=np.full(3, 3.0))
    X = flatten_paths(paths)
    train(model, (X, Y), TrainingOptions(iterations=60, learning_rate=0.05, monitor_every=60, progress=False))
    top = word_relevance(model, ["humidity", "pressure", "wind"], X=X)
    assert {row.name for row in top.rows[:2]} == {"humidity → pressure", "pressure → humidity"}
    signs = {row.name: row.sign for row in top.rows[:2]}
    assert signs == {"humidity → pressure": 1, "pressure → humidity": -1}


def test_table_and_picture(model: SigGPDE) -> None:
    result = word_relevance(model, ["humidity", "pressure"])
    lines = str(result).splitlines()
    assert lines[0].split() == ["word", "level", "process", "sign", "relevance"]
    assert lines[1].startswith(result[0].name)
    axes = result.plot(top=4)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{r.name} ({r.process})" for r in result.rows[:4]
    ]
    assert [bar.get_width() for bar in axes.patches] == [row.relevance for row in result.rows[:4]]
    assert len(result.plot().patches) == 10 < len(result)
    matplotlib.pyplot.close("all")


def test_bad_input(model: SigGPDE) -> None:
    with pytest.raises(ValueError, match="channel_names must have 2 names"):
        word_relevance(model, ["a"])
    with pytest.raises(ValueError, match="channel_names must differ"):
        word_relevance(model, ["a", "a"])
    with pytest.raises(ValueError, match="use flatten_paths"):
        word_relevance(model, ["a", "b"], X=np.zeros((3, 4, 2)))
    other = gpflow.models.SVGP(gpflow.kernels.RBF(), gpflow.likelihoods.Gaussian(), np.zeros((2, 1)))
    with pytest.raises(TypeError, match="OrthogonalSignatureFeatures"):
        word_relevance(other)
    paths = flatten_paths(np.zeros((3, 4, 2)))
    with pytest.raises(TypeError, match="model must have OrthogonalSignatureFeatures.*got GPR with NoneType"):
        word_relevance(gpflow.models.GPR((paths, np.zeros((3, 1))), SignatureKernel(2)))  # type: ignore[arg-type]
    for names in ("ab", paths, [0, 1]):
        with pytest.raises(TypeError, match=r"channel_names must be a sequence of strings.*paths are given as X="):
            word_relevance(model, names)  # type: ignore[arg-type]


@pytest.mark.parametrize("separate_features", [False, True])
def test_each_process_has_the_words_of_its_own_kernel(separate_features: bool, rng: np.random.Generator) -> None:
    kernels = [SignatureKernel(3, channels=[0, 1], lengthscales=0.5), SignatureKernel(3, channels=[2, 0])]
    features = OrthogonalSignatureFeatures(7)
    model = gpflow.models.SVGP(
        gpflow.kernels.LinearCoregionalization(kernels, W=rng.normal(size=(4, 2))),
        gpflow.likelihoods.Gaussian(),
        SeparateIndependentInducingVariables([features, OrthogonalSignatureFeatures(7)])
        if separate_features
        else SharedIndependentInducingVariables(features),
        num_latent_gps=2,
    )
    model.q_mu.assign(rng.normal(size=(7, 2)))
    paths = rng.normal(size=(20, 4, 3))
    result = word_relevance(model, ["a", "b", "c"], X=flatten_paths(paths))
    assert {row.name for row in result.of_process(0)} == {"a", "b", "a → a", "a → b", "b → a", "b → b"}
    by_name = {row.name: row for row in result.of_process(1)}
    assert set(by_name) == {"c", "a", "c → c", "c → a", "a → c", "a → a"}
    spread = sk.signature(paths[..., [2, 0]], num_words=7).numpy()[:, 4].std()
    assert by_name["c → a"].relevance == pytest.approx(abs(model.q_mu.numpy()[4, 1]) * spread, rel=1e-10)


def test_words_are_over_the_channels_that_the_kernel_sees(rng: np.random.Generator) -> None:
    model = SigGPDE(3, 7, likelihood=gpflow.likelihoods.Gaussian(), channels=[2, 0])
    model.q_mu.assign(rng.normal(size=(7, 1)))
    paths = rng.normal(size=(20, 4, 3))
    S = sk.signature(paths[..., [2, 0]], num_words=7).numpy()
    by_name = {row.name: row for row in word_relevance(model, ["a", "b", "c"], X=flatten_paths(paths))}
    assert set(by_name) == {"c", "a", "c → c", "c → a", "a → c", "a → a"}
    assert by_name["c → a"].word == (2, 0)
    for name, m in (("c", 1), ("a", 2), ("c → a", 4), ("a → c", 5)):
        assert by_name[name].coefficient == model.q_mu.numpy()[m, 0]
        assert by_name[name].spread == pytest.approx(S[:, m].std(), rel=1e-10)
