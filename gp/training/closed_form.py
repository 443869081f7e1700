r"""
Fitting a sparse variational Gaussian process in closed form, in some ten passes over the data.

The inducing variables are fixed. Each pass gives q(u) the sum of one Gaussian site for every row and latent process
(``natural_passes.py``), which is a natural-gradient step with all the data; between passes hyperparameters move uphill
on the bound (``held_sites.py``). There are no learning rates.
"""

from contextlib import ExitStack
from typing import Any

import tensorflow as tf
from gpflow.models import SVGP

from .._checks import check_outputs_fit
from ..data import as_rows
from .closed_form_options import ClosedFormOptions, ClosedFormResult
from .closed_form_run import Run
from .expectations import check_likelihood
from .latents import check_widths, latents_of
from .workers import as_workers


def fit_closed_form(
    model: SVGP,
    data: tuple[Any, Any],
    options: ClosedFormOptions = ClosedFormOptions(),
    *,
    strategy: tf.distribute.Strategy | None = None,
) -> ClosedFormResult:
    r"""
    Fit q(u) of a sparse variational Gaussian process in closed form, and its hyperparameters between passes.

    It is the first way to try where a model has a likelihood of its own: some ten passes over the data take the place
    of thousands of minibatch steps, and there is no learning rate. At the end q(u) is the one with the largest bound,
    up to ``tolerance``, for the inducing variables as they are, which stay fixed. A Gaussian likelihood needs a single
    step, which gives the posterior of ``gpflow.models.SGPR``, and of ``GPR`` where all rows are inducing points.

    Each pass takes, for every row and latent process, the expectations of the first two derivatives of log p(y | f).
    They are GPflow's, in closed form or by quadrature; for ``Softmax`` the mean over 128 quasi-random draws; for
    ``Ordinal`` by quadrature of our own density, for GPflow's is NaN for the first and the last class. The expectation
    of −∇² log p can be negative for ``StudentT`` and ``MultiClass``. It counts as 0 in the first passes, so that each
    step leads to a covariance, and as it is once they have converged. ``MultiClass`` starts where a fit with
    ``Softmax`` ends, for from the prior its bound has poor maxima.

    A step that lowers the bound, or leads to no covariance, is halved. Hyperparameters are all trainable parameters of
    the model but q(u) and the inducing variables. They move by L-BFGS on the bound with the sites held, which is higher
    and flatter than the bound with q(u) held (Adam et al. 2021). Trainable ``level_variances`` of a
    :class:`~sigkernel_tf.gp.SignatureKernel` with orthogonal features move in every pass, by MacKay's fixed point
    (1992), which needs no gradient; by L-BFGS where the kernel is normalized, the features end before the levels with a
    variance of their own do, or the variances have a prior.

    Kuu is factorised with ``gpflow.default_jitter()`` on its diagonal and in the model's dtype, as GPflow does when the
    model predicts. Inducing variables may therefore come twice: what they add is limited by the jitter, and there is no
    other cut-off. A Kuu that has no factor is refused. 1e-6 is enough in float64; in float32 a Kuu of more than some 50
    variables can need 1e-4.

    Time of a pass: the features in the first one, then C N M² multiply-adds, and C M³ / 2. From 1e10 of them on,
    matrices are multiplied in float32 until that no longer raises the bound, and then in float64. Memory: some 10 C M²
    numbers (the matrices of the last state and the next, and GPflow's own where q(u) is set), a block of rows, while
    hyperparameters move 2 C numbers for each row, and up to 1 GB of features for each kernel; features beyond that are
    computed in every pass.

    With a ``strategy``, several processes share the rows: each runs the same script, is given all rows, as files for
    instance, and passes over its own part. What they send in a pass is one sum of C M² / 2 numbers and a few more. All
    end with the same model, which is that of a single process up to rounding. The first process alone writes
    checkpoints and shows the progress. An interrupt of any of them, by Ctrl-C or SIGTERM, stops all. Where one is lost,
    the others stop with an error; start all of them again.

    >>> gpde = SigGPDE(2, 15, likelihood=gpflow.likelihoods.Bernoulli())
    >>> result = fit_closed_form(gpde, (rows, Y), ClosedFormOptions(progress=False))
    >>> result.elbo > 20 * np.log(0.5)  # better than guessing
    True

    :param model: a ``gpflow.models.SVGP`` such as :class:`~sigkernel_tf.gp.SigGPDE`, fitted in place. Its kernel may be
        a plain one, ``SharedIndependent`` or ``SeparateIndependent``, its inducing variables and its mean function any.
        u may be whitened or not.
    :param data: X [N, W] and Y [N, P] as :func:`~sigkernel_tf.gp.train` takes them: arrays, or files larger than
        memory, which are read a block at a time.
    :param options: see :class:`ClosedFormOptions`.
    :param strategy: what :func:`~sigkernel_tf.gp.connect_workers` returns, or another
        ``tf.distribute.MultiWorkerMirroredStrategy`` with one device in each process. None: this process fits alone.
    :raises ValueError: for a model with a diagonal q(u) (``q_diag=True``), a Kuu that is not positive definite with
        ``gpflow.default_jitter()``, data that the model cannot take, and a ``checkpoint_dir`` that is damaged or
        another fit's; for workers whose data, options, models or versions differ, more workers than rows in a pass, and
        no strategy where TF_CONFIG names several.
    :raises TypeError: for another model, ``LinearCoregionalization``, a likelihood whose expectations GPflow finds by
        random draws, and another kind of strategy.
    :raises FloatingPointError: where the bound is not a number.
    :raises RuntimeError: where another worker has failed or was lost.
    """
    if not isinstance(model, SVGP):
        raise TypeError(f"model must be a gpflow.models.SVGP, as SigGPDE is, got {type(model).__name__}.")
    if not isinstance(options, ClosedFormOptions):
        raise TypeError(
            f"options must be ClosedFormOptions, got {type(options).__name__}: for instance ClosedFormOptions(seed=1). "
            "X and Y are one argument, data=(X, Y)."
        )
    check_likelihood(model.likelihood)
    latents = latents_of(model)
    if options.shared_covariance and len(latents) > 1:
        raise ValueError(
            "shared_covariance=True needs latent processes that share their features, got kernels or inducing "
            "variables of their own: take shared_covariance=False."
        )
    workers = as_workers(strategy)
    with ExitStack() as held:
        held.enter_context(workers.lost_workers())
        with workers.together():
            rows = as_rows(data, model.likelihood)
            check_outputs_fit(model.likelihood, model.q_mu.shape[1], rows.specs()[1].shape[-1])
            check_widths(latents, rows)
            run = Run(model, latents, rows, options, workers)
        run.check_same()
        with workers.together():
            held.enter_context(run.alone())
        held.enter_context(workers.asked_to_stop())
        run.begin()
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.how_to_go_on()) from None
