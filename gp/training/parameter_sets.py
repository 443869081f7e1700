"""The trainable parameters of a model in two sets: those of the variational posterior, and the hyperparameters."""

import tensorflow as tf
from gpflow.models import SVGP


def parameter_sets(model: SVGP) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """The trainable variables of q(u) and the inducing variables, and all others, each in the model's order."""
    ids = {
        id(variable)
        for part in (model.q_mu, model.q_sqrt, model.inducing_variable)
        for variable in getattr(part, "trainable_variables", ())
    }
    trainable = model.trainable_variables
    return [one for one in trainable if id(one) in ids], [one for one in trainable if id(one) not in ids]
