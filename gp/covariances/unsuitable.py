"""What happens when an inducing variable meets a kernel that it does not fit: an error that says what to do."""

from collections.abc import Callable
from typing import Any, NoReturn

from gpflow.covariances import Kuf, Kuu
from gpflow.inducing_variables import InducingVariables
from gpflow.kernels import Kernel
from gpflow.kullback_leiblers import prior_kl
from gpflow.posteriors import get_posterior_class


def refuse_other_kernels(variables: type[InducingVariables], error: Callable[[Kernel], TypeError]) -> None:
    """
    Makes Kuu, Kuf, the posterior's class and the divergence raise an error for every kernel without a registration.

    GPflow's dispatchers choose the most specific registration, and these are for :class:`gpflow.kernels.Kernel` itself.

    :param variables: the class of inducing variables.
    :param error: makes the error, given the kernel.
    """

    def refuse(inducing_variable: InducingVariables, kernel: Kernel, *args: Any, **options: Any) -> NoReturn:
        raise error(kernel)

    def refuse_posterior(kernel: Kernel, inducing_variable: InducingVariables) -> NoReturn:
        raise error(kernel)

    Kuu.register(variables, Kernel)(refuse)
    Kuf.register(variables, Kernel, object)(refuse)
    prior_kl.register(variables, Kernel, object, object)(refuse)
    get_posterior_class.register(Kernel, variables)(refuse_posterior)
