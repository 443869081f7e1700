"""GPflow's models with the signature kernel: training, saving, copying, and the exact answers where there are any."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gpflow
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from gpflow.models import GPR, SGPMC, SGPR, SVGP, VGP

import sigkernel_tf as sk
from sigkernel_tf.gp import OrthogonalSignatureFeatures, SigGPDE, SignatureKernel, flatten_paths, path_dataset

NOISE = 0.3


@pytest.fixture
def regression(walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paths of one channel, whose kernel 20 features exhaust."""
    return flatten_paths(walks(8, 5, 1)), rng.normal(size=(8, 1))


@pytest.fixture
def classes(walks: Callable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of loops in the plane, told apart by their signed area, of different lengths."""
    paths, labels = [], np.arange(60) % 3
    for label in labels:
        angle = np.linspace(0, 2 * np.pi, rng.integers(8, 14)) * (label - 1)
        paths.append(np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(len(angle), 2)))
    return flatten_paths(paths), labels[:, None].astype(np.float64)


def classifier() -> SigGPDE:
    return SigGPDE(2, 15, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3, num_data=60)


def train(model: SVGP, data: tuple[np.ndarray, np.ndarray], steps: int) -> list[float]:
    """Full-batch Adam in a traced step; the ELBO before each."""
    optimizer = tf.keras.optimizers.Adam(0.05)
    loss = model.training_loss_closure(data)
    variables = model.trainable_variables
    elbos = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        elbos.append(-float(value))
    return elbos


def exact_regression(X: np.ndarray, Y: np.ndarray, Xnew: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log marginal likelihood, predictive mean and variance, by NumPy."""
    kernel = SignatureKernel(1)
    K = kernel(X).numpy() + NOISE * np.eye(len(X))
    cross = kernel(Xnew, X).numpy()
    mean = cross @ np.linalg.solve(K, Y)
    variance = kernel(Xnew, full_cov=False).numpy() - np.sum(cross * np.linalg.solve(K, cross.T).T, axis=1)
    return scipy.stats.multivariate_normal(cov=K).logpdf(Y[:, 0]), mean, variance[:, None]


def test_gpr(regression: tuple, walks: Callable) -> None:
    """Predictions at paths of another length than the data's, cached and not."""
    Xnew = flatten_paths(walks(4, 9, 1))
    evidence, mean, variance = exact_regression(*regression, Xnew)
    model = GPR(regression, SignatureKernel(1), noise_variance=NOISE)
    np.testing.assert_allclose(model.log_marginal_likelihood(), evidence, rtol=1e-9)
    for result in (model.predict_f(Xnew), model.posterior().predict_f(Xnew)):
        np.testing.assert_allclose(result[0], mean, rtol=1e-9)
        np.testing.assert_allclose(result[1], variance, rtol=1e-8)


def test_gpr_trains(regression: tuple) -> None:
    model = GPR(regression, SignatureKernel(1), noise_variance=NOISE)
    before = float(model.training_loss())
    gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables, options={"maxiter": 10})
    assert float(model.training_loss()) < before


@pytest.mark.parametrize("whiten", [True, False])
def test_svgp_reaches_exact_regression_in_one_natural_step(whiten: bool, regression: tuple, walks: Callable) -> None:
    """In one dimension 20 features exhaust the kernel, so the optimal q(u) is the exact posterior."""
    Xnew = flatten_paths(walks(4, 9, 1))
    evidence, mean, variance = exact_regression(*regression, Xnew)
    likelihood = gpflow.likelihoods.Gaussian(NOISE)
    model = SVGP(SignatureKernel(1), likelihood, OrthogonalSignatureFeatures(20), whiten=whiten)
    step = gpflow.optimizers.NaturalGradient(gamma=1.0)
    step.minimize(model.training_loss_closure(regression), [(model.q_mu, model.q_sqrt)])
    np.testing.assert_allclose(model.elbo(regression), evidence, rtol=1e-7)
    result = model.predict_f(Xnew)
    np.testing.assert_allclose(result[0], mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(result[1], variance, rtol=1e-6, atol=1e-8)


def test_vgp_reaches_exact_regression_in_one_natural_step(regression: tuple) -> None:
    evidence, *_ = exact_regression(*regression, regression[0])
    model = VGP(regression, SignatureKernel(1), gpflow.likelihoods.Gaussian(NOISE))
    gpflow.optimizers.NaturalGradient(gamma=1.0).minimize(model.training_loss, [(model.q_mu, model.q_sqrt)])
    np.testing.assert_allclose(model.elbo(), evidence, rtol=1e-3)  # GPflow adds its jitter to K, here near singular


def test_sgpr_is_exact_with_enough_features(regression: tuple) -> None:
    evidence, *_ = exact_regression(*regression, regression[0])
    model = SGPR(regression, SignatureKernel(1), OrthogonalSignatureFeatures(20), noise_variance=NOISE)
    np.testing.assert_allclose(model.elbo(), evidence, rtol=1e-9)


def test_siggpde_is_that_svgp(classes: tuple, rng: np.random.Generator) -> None:
    options = {"num_latent_gps": 3, "num_data": 120, "whiten": False, "q_diag": True}
    kernel_options = {
        "channels": [1, 0],
        "lengthscales": [0.5, 2.0],
        "variance": 0.7,
        "level_variances": [1.0, 0.5, 2.0],
        "normalize": True,
        "solver": sk.FiniteDifference(1),
    }
    likelihood, mean_function = gpflow.likelihoods.MultiClass(3), gpflow.mean_functions.Constant(0.1)
    model = SigGPDE(2, 8, likelihood=likelihood, mean_function=mean_function, **kernel_options, **options)
    kernel, Z = SignatureKernel(2, **kernel_options), OrthogonalSignatureFeatures(8)
    twin = SVGP(kernel, likelihood, Z, mean_function=mean_function, **options)
    assert model.whiten is twin.whiten
    values = gpflow.utilities.parameter_dict(model)
    values[".q_mu"], values[".q_sqrt"] = rng.normal(size=(8, 3)), rng.uniform(0.5, 1.5, size=(8, 3))
    for each in (model, twin):
        gpflow.utilities.multiple_assign(each, values)
    np.testing.assert_allclose(model.elbo(classes), twin.elbo(classes), rtol=1e-14)
    np.testing.assert_allclose(model.predict_f(classes[0]), twin.predict_f(classes[0]), rtol=1e-14)


def test_classifier_learns(classes: tuple) -> None:
    model = classifier()
    elbos = train(model, classes, 60)
    assert elbos[-1] > elbos[0] / 2  # both negative
    assert np.mean(np.argmax(model.predict_y(classes[0])[0], axis=1) == classes[1][:, 0]) > 0.9
    assert not np.allclose(model.kernel.lengthscales, 1.0)


def test_gpflows_optimizer_and_draws(classes: tuple) -> None:
    """``Scipy``, a compiled loss over a ``tf.data`` pipeline, and ``predict_f_samples``."""
    model, (X, Y) = classifier(), classes
    loss = model.training_loss_closure(classes)
    before = float(loss())
    gpflow.optimizers.Scipy().minimize(loss, model.trainable_variables, options={"maxiter": 5})
    assert float(loss()) < before
    batches = iter(path_dataset(X, Y, batch_size=60, repeat=True))
    np.testing.assert_allclose(model.training_loss_closure(batches, compile=True)(), loss(), rtol=1e-12)
    for full_cov in (False, True):
        draws = model.predict_f_samples(X[:4], 3000, full_cov=full_cov)
        mean, variance = model.predict_f(X[:4])
        assert draws.shape == (3000, 4, 3)
        assert (np.abs(np.mean(draws, axis=0) - mean) < 5 * np.sqrt(variance / 3000)).all()


def test_sampling_the_inducing_variables(regression: tuple, factorisations: Callable) -> None:
    """GPflow's SGPMC: its log posterior density is that of weights of the features, and nothing is factorised."""
    X, Y = regression
    likelihood = gpflow.likelihoods.Gaussian(NOISE)
    model = SGPMC(regression, SignatureKernel(1), likelihood, inducing_variable=OrthogonalSignatureFeatures(20))
    v = np.random.default_rng(1).normal(size=(20, 1))
    model.V.assign(v)
    S = model.kernel.features(X, 20).numpy()  # they exhaust the kernel
    prior = scipy.stats.norm.logpdf(v).sum()
    expected = scipy.stats.norm.logpdf(Y, S @ v, np.sqrt(NOISE)).sum()
    np.testing.assert_allclose(model.log_posterior_density(), expected + prior, rtol=1e-9)
    assert factorisations(model.log_posterior_density) == []


def test_minibatches_estimate_the_bound(classes: tuple) -> None:
    """Averaged over the parts of the data, the bound of a minibatch is that of all data."""
    model = classifier()
    train(model, classes, 5)
    X, Y = classes
    parts = [model.elbo((X[i : i + 15], Y[i : i + 15])) for i in range(0, 60, 15)]
    np.testing.assert_allclose(np.mean(parts), model.elbo(classes), rtol=1e-12)


def test_float32(classes: tuple) -> None:
    expected = classifier().elbo(classes)
    with gpflow.config.as_context(gpflow.config.Config(float=np.float32)):
        data = tuple(array.astype(np.float32) for array in classes)
        model = classifier()
        elbo = model.elbo(data)
        assert elbo.dtype == tf.float32
        np.testing.assert_allclose(elbo, expected, rtol=1e-4)
        assert model.posterior().predict_f(data[0])[1].dtype == tf.float32


def test_checkpoint_restores_parameters_and_predictions(classes: tuple, tmp_path: Path) -> None:
    model = classifier()
    train(model, classes, 3)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    restored = classifier()
    tf.train.Checkpoint(model=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(restored.predict_f(classes[0]), model.predict_f(classes[0]))


@pytest.mark.parametrize("deepcopy", [copy.deepcopy, gpflow.utilities.deepcopy])
def test_deepcopy_is_equal_and_independent(deepcopy: Callable[[SigGPDE], SigGPDE], classes: tuple) -> None:
    model = classifier()
    expected = model.elbo(classes)
    twin = deepcopy(model)
    np.testing.assert_array_equal(twin.elbo(classes), expected)
    train(twin, classes, 2)
    assert twin.elbo(classes) != expected
    np.testing.assert_array_equal(model.elbo(classes), expected)


def test_summary_lists_the_parameters(capsys: pytest.CaptureFixture) -> None:
    gpflow.utilities.print_summary(classifier())
    printed = capsys.readouterr().out
    for name in ("kernel.lengthscales", "kernel.variance", "q_mu", "q_sqrt"):
        assert f"SigGPDE.{name}" in printed
    assert "inducing_variable" not in printed


def test_saved_predictors_work_on_paths_of_any_length(classes: tuple, tmp_path: Path) -> None:
    """From a cached posterior and without one, in this process and in a new one."""
    model = classifier()
    train(model, classes, 3)
    posterior = model.posterior(gpflow.posteriors.PrecomputeCacheType.VARIABLE)

    def predict(X: tf.Tensor) -> list[tf.Tensor]:
        moments = posterior.predict_f(X), model.predict_f(X)
        return [model.likelihood.predict_mean_and_var(X, *mean_and_variance)[0] for mean_and_variance in moments]

    module = tf.Module()
    module.model, module.posterior = model, posterior
    spec = tf.TensorSpec([None, None], tf.float64)
    module.predict = tf.function(predict, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for X in (classes[0], classes[0][:3, :10], classes[0][:0]):
        for result, expected in zip(loaded.predict(X), predict(X), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-13)
    with pytest.raises(tf.errors.InvalidArgumentError, match="width of X must be a positive multiple"):
        loaded.predict(classes[0][:, :7])
    in_a_new_process = (
        f"import sigkernel_tf.gp, tensorflow as tf; m = tf.saved_model.load({str(tmp_path)!r}); "
        f"print([p.shape for p in m.predict(tf.zeros([2, {classes[0].shape[1]}], tf.float64))])"
    )
    done = subprocess.run([sys.executable, "-c", in_a_new_process], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[TensorShape([2, 3]), TensorShape([2, 3])]"
