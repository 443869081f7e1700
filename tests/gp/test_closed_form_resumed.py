"""Fits in closed form that are interrupted at every stage, and go on to the end of a fit that never was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from closed_form_toys import CLASSES, YES_OR_NO, F, X, model, with_levels
from gpflow.likelihoods import Bernoulli, MultiClass
from gpflow.models import SVGP
from training_toys import parameters

from sigkernel_tf.gp import ClosedFormOptions, ClosedFormResult, fit_closed_form
from sigkernel_tf.gp.training import closed_form_run
from sigkernel_tf.gp.training.closed_form_run import Run
from sigkernel_tf.gp.training.natural_passes import Passes

FITS: dict[str, tuple[Callable[[], SVGP], np.ndarray, dict]] = {
    "MultiClass": (lambda: model(MultiClass(3), 3), CLASSES, {"hyperparameter_rounds": 2, "max_passes": 12}),
    "some rows a step": (
        lambda: model(Bernoulli()),
        YES_OR_NO,
        {"hyperparameter_rounds": 1, "rows_per_step": 15, "max_passes": 6},
    ),
    "variances of levels": (with_levels, F, {"hyperparameter_rounds": 1}),
}


def breaks(function: Callable, at: int, error: type[BaseException]) -> Callable:
    """The function, but its call number ``at`` raises once it has returned."""
    calls = [0]

    def broken(*args: object, **options: object) -> object:
        found = function(*args, **options)
        calls[0] += 1
        if calls[0] == at:
            raise error("broken")
        return found

    return broken


def break_stage(patch: pytest.MonkeyPatch, stage: str, at: int, error: type[BaseException]) -> None:
    """Break a fit in its pass, evaluation within L-BFGS or checkpoint of this number, or where it sets the model."""
    if stage == "evaluation":
        search = closed_form_run.maximize
        patch.setattr(closed_form_run, "maximize", lambda *args: search(*args[:-1], breaks(args[-1], at, error)))
    else:
        owner, name = {"pass": (Passes, "__call__"), "save": (Run, "_save"), "write": (Run, "_write")}[stage]
        patch.setattr(owner, name, breaks(getattr(owner, name), at, error))


def assert_same(one: tuple[SVGP, ClosedFormResult], other: tuple[SVGP, ClosedFormResult]) -> None:
    for name, value in parameters(one[0]).items():
        np.testing.assert_allclose(value, parameters(other[0])[name], rtol=1e-10, atol=1e-10, err_msg=name)
    elbos = [[each.elbo for each in result.passes] for _, result in (one, other)]
    np.testing.assert_allclose(*elbos, rtol=1e-10)
    assert one[1].converged == other[1].converged


@pytest.mark.parametrize("name", FITS)
def test_broken_at_every_stage_it_ends_as_if_it_never_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, Y, options = FITS[name]
    options = {"hyperparameter_evaluations": 4, "progress": False, **options}
    whole = make()
    expected = fit_closed_form(whole, (X, Y), ClosedFormOptions(**options))
    saving = ClosedFormOptions(checkpoint_dir=tmp_path, **options)
    svgp = make()
    for stage, at, error, in_a_new_process in (
        ("pass", 2, OSError, False),
        ("evaluation", 2, KeyboardInterrupt, False),
        ("save", 2, KeyboardInterrupt, True),
        ("write", 1, KeyboardInterrupt, False),
    ):
        with monkeypatch.context() as patch:
            break_stage(patch, stage, at, error)
            said = "go on by fitting again" if error is KeyboardInterrupt else "broken"
            with pytest.raises(error, match=said):
                fit_closed_form(svgp, (X, Y), saving)
        svgp = make() if in_a_new_process else svgp
    found = fit_closed_form(svgp, (X, Y), saving)
    assert_same((svgp, found), (whole, expected))
    assert_same((svgp, fit_closed_form(svgp, (X, Y), saving)), (whole, expected))  # nothing is left to be done


def test_without_a_checkpoint_a_broken_search_leaves_no_trial_values(monkeypatch: pytest.MonkeyPatch) -> None:
    svgp = model(Bernoulli())
    before = svgp.kernel.lengthscales.numpy()
    break_stage(monkeypatch, "evaluation", 3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt, match="give a checkpoint_dir"):
        fit_closed_form(svgp, (X, YES_OR_NO), ClosedFormOptions(progress=False))
    np.testing.assert_array_equal(svgp.kernel.lengthscales, before)


def test_another_fits_checkpoint_is_refused(tmp_path: Path) -> None:
    options = ClosedFormOptions(checkpoint_dir=tmp_path, progress=False, hyperparameter_rounds=0)
    fit_closed_form(model(Bernoulli()), (X, YES_OR_NO), options)
    with pytest.raises(ValueError, match="another training"):
        fit_closed_form(model(Bernoulli()), (X, (F > 0.7) * 1.0), options)


def test_the_progress_bar(capsys: pytest.CaptureFixture) -> None:
    """It says what is being done, also within the search by L-BFGS."""
    options = ClosedFormOptions(hyperparameter_rounds=1, hyperparameter_evaluations=4)
    fit_closed_form(model(Bernoulli()), (X, YES_OR_NO), options)
    shown = capsys.readouterr().err
    assert "round 0, hyperparameters, evaluation 4 of 4: " in shown
    assert "round 1, passes: " in shown
    assert "ELBO=" in shown
    assert ": :" not in shown
