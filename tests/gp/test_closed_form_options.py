"""The options of fits in closed form, interruptions, and what is refused."""

from pathlib import Path

import gpflow
import numpy as np
import pytest
from closed_form_toys import (
    CLASSES,
    COUNTS,
    EXACTLY,
    NUMBERS,
    QUICKLY,
    F,
    X,
    Z,
    kernel,
    model,
)
from gpflow.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    MultiClass,
    Poisson,
    Softmax,
)

from sigkernel_tf.gp import (
    ClosedFormOptions,
    SigGPDE,
    fit_closed_form,
    read_tfrecords,
    write_tfrecords,
)
from sigkernel_tf.gp.training import closed_form_run


class TestOptions:
    def test_blocks_change_nothing(self) -> None:
        fits = [model(Softmax(3), 3) for _ in range(2)]
        results = [
            fit_closed_form(
                svgp,
                (X, CLASSES),
                ClosedFormOptions(
                    batch_size=size, hyperparameter_rounds=1, hyperparameter_evaluations=3, progress=False
                ),
            )
            for svgp, size in zip(fits, (7, 40), strict=True)
        ]
        np.testing.assert_allclose(results[0].elbo, results[1].elbo, rtol=1e-10)
        np.testing.assert_allclose(fits[0].q_mu, fits[1].q_mu, atol=1e-10)
        np.testing.assert_allclose(fits[0].kernel.lengthscales, fits[1].kernel.lengthscales, rtol=1e-10)

    def test_one_covariance_for_all_is_the_best_of_its_kind(self) -> None:
        free, shared = model(Softmax(3), 3), model(Softmax(3), 3)
        highest = fit_closed_form(free, (X, CLASSES), QUICKLY).elbo
        found = fit_closed_form(
            shared,
            (X, CLASSES),
            ClosedFormOptions(**{**QUICKLY.as_fingerprint(), "shared_covariance": True, "progress": False}),
        )
        assert found.converged
        assert highest - 0.5 < found.elbo < highest
        q_sqrt = shared.q_sqrt.numpy()
        np.testing.assert_array_equal(q_sqrt[0], q_sqrt[2])
        # The mean of the covariances of the free fit is near, but not better.
        assert np.abs(q_sqrt[0] - free.q_sqrt.numpy().mean(axis=0)).max() < 0.2

    def test_products_in_float32_end_where_those_in_float64_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected, found = model(Softmax(3), 3), model(Softmax(3), 3)
        fit_closed_form(expected, (X, CLASSES), EXACTLY)
        monkeypatch.setattr(closed_form_run, "_WORK_IN_SINGLE", 1.0)
        result = fit_closed_form(found, (X, CLASSES), QUICKLY)
        np.testing.assert_allclose(found.q_mu, expected.q_mu, atol=0.03)
        np.testing.assert_allclose(found.elbo((X, CLASSES.astype(np.int64))), result.elbo, atol=3.0)  # GPflow draws

    @pytest.mark.parametrize("rows_per_step", [None, 10])
    def test_large_counts(self, rows_per_step: int | None) -> None:
        """From f = 0 only very short steps lead up."""
        Y = np.round(300.0 * np.exp(F / 2.0))
        svgp = gpflow.models.SVGP(gpflow.kernels.RBF(lengthscales=1.2, variance=4.0), Poisson(), Z.copy())
        options = ClosedFormOptions(
            hyperparameter_rounds=0, max_passes=200, rows_per_step=rows_per_step, progress=False
        )
        result = fit_closed_form(svgp, (X, Y), options)
        other = gpflow.models.SVGP(gpflow.kernels.RBF(lengthscales=1.2, variance=4.0), Poisson(), Z.copy())
        for part in (other.kernel, other.inducing_variable):
            gpflow.set_trainable(part, False)
        gpflow.optimizers.Scipy().minimize(other.training_loss_closure((X, Y)), other.trainable_variables)
        expected = other.elbo((X, Y)).numpy()
        assert svgp.elbo((X, Y)) > expected - (0.1 if rows_per_step is None else 0.02 * abs(expected))
        if rows_per_step is None:
            assert result.converged

    def test_some_rows_at_a_time(self) -> None:
        full, sampled = model(Bernoulli()), model(Bernoulli())
        Y = (F > 0.6).astype(float)
        fit_closed_form(full, (X, Y), EXACTLY)
        options = ClosedFormOptions(rows_per_step=20, max_passes=60, hyperparameter_rounds=0, progress=False)
        result = fit_closed_form(sampled, (X, Y), options)
        assert len(result.passes) == 60
        assert full.elbo((X, Y)) - 0.01 < sampled.elbo((X, Y)) < full.elbo((X, Y))

    def test_hyperparameters_move_with_some_inducing_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many, drawn from those of the model, which keeps all of them."""
        seen, search = [], closed_form_run.maximize

        def spy(*args: object) -> None:
            seen.append(args[2][0].inducing_variable.Z.numpy())
            search(*args)

        monkeypatch.setattr(closed_form_run, "maximize", spy)
        svgp = model(Gaussian(0.5))
        options = ClosedFormOptions(hyperparameter_rounds=1, hyperparameter_inducing=4, progress=False)
        result = fit_closed_form(svgp, (X, NUMBERS), options)
        assert seen[0].shape == (4, 2)
        assert (seen[0][:, None] == Z).all(axis=2).any(axis=1).all()
        assert svgp.q_mu.shape == (6, 1)
        np.testing.assert_allclose(svgp.elbo((X, NUMBERS)), result.elbo, rtol=1e-8)
        assert result.passes[-1].elbo > result.passes[1].elbo + 1.0  # the noise has moved

    def test_files_larger_than_memory(self, tmp_path: Path) -> None:
        np.save(tmp_path / "X.npy", X)
        from_memory, from_file = model(Gaussian(0.05)), model(Gaussian(0.05))
        fit_closed_form(from_memory, (X, NUMBERS), QUICKLY)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        fit_closed_form(from_file, (mapped, NUMBERS), QUICKLY)
        np.testing.assert_array_equal(from_memory.q_mu, from_file.q_mu)
        write_tfrecords(tmp_path / "rows.tfrecord", (X, NUMBERS))
        from_records = model(Gaussian(0.05))
        fit_closed_form(from_records, read_tfrecords(tmp_path / "rows.tfrecord"), QUICKLY)
        np.testing.assert_array_equal(from_memory.q_mu, from_records.q_mu)

    def test_a_nan_in_a_file_is_named(self, tmp_path: Path) -> None:
        """Also in the middle of a pass, where it must not be taken for a bound that is no number."""
        broken = X.copy()
        broken[33, 1] = np.nan
        np.save(tmp_path / "X.npy", broken)
        options = ClosedFormOptions(hyperparameter_rounds=0, batch_size=10, progress=False)
        with pytest.raises(ValueError, match="row 33, column 1"):
            fit_closed_form(model(Gaussian(0.05)), (np.load(tmp_path / "X.npy", mmap_mode="r"), NUMBERS), options)

    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("max_passes", 0, ValueError),
            ("tolerance", 0.0, ValueError),
            ("tolerance", "small", TypeError),
            ("rows_per_step", 0, ValueError),
            ("shared_covariance", 2, TypeError),
            ("checkpoint_dir", 3, TypeError),
        ],
    )
    def test_wrong_options(self, option: str, value: object, error: type) -> None:
        with pytest.raises(error, match=option):
            ClosedFormOptions(**{option: value})


class TestRefusals:
    def test_models(self) -> None:
        points = gpflow.inducing_variables.InducingPoints(Z.copy())
        wrapped = gpflow.inducing_variables.SharedIndependentInducingVariables(points)
        mixing = gpflow.kernels.LinearCoregionalization([kernel(), kernel()], W=np.ones((2, 2)))
        with pytest.raises(TypeError, match="LinearCoregionalization, which mixes"):
            fit_closed_form(gpflow.models.SVGP(mixing, Gaussian(), wrapped, num_latent_gps=2), (X, np.tile(NUMBERS, 2)))
        with pytest.raises(ValueError, match="q_diag=True"):
            fit_closed_form(model(Gaussian(), q_diag=True), (X, NUMBERS))
        shared = gpflow.kernels.SharedIndependent(kernel(), output_dim=2)
        with pytest.raises(TypeError, match="SharedIndependentInducingVariables"):
            fit_closed_form(gpflow.models.SVGP(shared, Gaussian(), points, num_latent_gps=2), (X, np.tile(NUMBERS, 2)))
        with pytest.raises(TypeError, match=r"must be a gpflow.models.SVGP.*got GPR"):
            fit_closed_form(gpflow.models.GPR((X, NUMBERS), kernel()), (X, NUMBERS))
        with pytest.raises(TypeError, match="draws random numbers"):
            fit_closed_form(model(gpflow.likelihoods.GaussianMC()), (X, NUMBERS))
        with pytest.raises(TypeError, match="options must be ClosedFormOptions"):
            fit_closed_form(model(Gaussian()), (X, NUMBERS), {"max_passes": 3})

    @pytest.mark.parametrize(("likelihood", "expected"), [(Softmax(3), 3), (MultiClass(4), 4)])
    def test_another_number_of_classes_than_of_processes(self, likelihood: Likelihood, expected: int) -> None:
        with pytest.raises(ValueError, match=f"num_latent_gps must be {expected} for"):
            fit_closed_form(model(likelihood, 2), (X, CLASSES), QUICKLY)

    @pytest.mark.parametrize("rows_per_step", [None, 20])
    def test_an_overflow(self, rows_per_step: int | None) -> None:
        svgp = gpflow.models.SVGP(gpflow.kernels.RBF(variance=1e6), Poisson(), Z.copy())
        options = ClosedFormOptions(hyperparameter_rounds=0, rows_per_step=rows_per_step, progress=False)
        with pytest.raises(FloatingPointError, match="smaller variance"):
            fit_closed_form(svgp, (X, COUNTS), options)

    def test_a_shared_covariance_of_several_kernels(self) -> None:
        points = gpflow.inducing_variables.InducingPoints(Z.copy())
        svgp = gpflow.models.SVGP(
            gpflow.kernels.SeparateIndependent([kernel(), kernel()]),
            Gaussian(),
            gpflow.inducing_variables.SharedIndependentInducingVariables(points),
            num_latent_gps=2,
        )
        with pytest.raises(ValueError, match="shared_covariance=False"):
            fit_closed_form(svgp, (X, np.tile(NUMBERS, 2)), ClosedFormOptions(shared_covariance=True))

    def test_a_width_that_the_kernel_does_not_take(self) -> None:
        """The data are named X, as the user knows them, and not X2, as the kernel does."""
        with pytest.raises(ValueError, match=r"X must have the 2 columns of the inducing points.*got 3"):
            fit_closed_form(model(Gaussian()), (np.concatenate([X, X[:, :1]], axis=1), NUMBERS), QUICKLY)
        paths = SigGPDE(3, 4, likelihood=Gaussian())
        with pytest.raises(ValueError, match=r"the width of X must be a positive multiple of num_channels=3.*\(1, 2\)"):
            fit_closed_form(paths, (X, NUMBERS), QUICKLY)
