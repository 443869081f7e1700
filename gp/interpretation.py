"""Which patterns a trained model uses: its words, ranked (section 6.4, figure 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gpflow import covariances
from gpflow.inducing_variables import MultioutputInducingVariables
from gpflow.kernels import MultioutputKernel
from gpflow.models import SVGP

from sigkernel_tf._words import words
from sigkernel_tf.plots import plot_relevance

from ._checks import check_num_latents
from ._chunks import row_parts
from .data.rows import as_array_like, as_default_float
from .inducing_variables import OrthogonalSignatureFeatures
from .kernels import SignatureKernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ARROW = " → "
_BATCH = 500


@dataclass(frozen=True)
class RelevantWord:
    """
    A word of the signature, and how much one latent process depends on it.

    :param word: channels in the order of their increments, counted from 0.
    :param name: the channels' names in that order, as "humidity → pressure → humidity".
    :param process: the latent process: the class, where each class has one.
    :param coefficient: the variational mean m of the word's feature; its sign is the direction in which the feature
        moves f.
    :param spread: the standard deviation of the feature over the data; 1 where no data were given.
    """

    word: tuple[int, ...]
    name: str
    process: int
    coefficient: float
    spread: float

    @property
    def level(self) -> int:
        """The number of letters."""
        return len(self.word)

    @property
    def relevance(self) -> float:
        """abs(coefficient) · spread, in units of f: how far f moves when the feature moves by its spread."""
        return abs(self.coefficient) * self.spread

    @property
    def sign(self) -> int:
        """1 where more of the pattern raises f, −1 where it lowers f, and 0 where it does neither."""
        return int(np.sign(self.coefficient))


@dataclass(frozen=True)
class WordRelevance:
    """The words of a model, the most relevant first; ``print`` shows the top twenty."""

    rows: tuple[RelevantWord, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RelevantWord]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> RelevantWord:
        return self.rows[place]

    def of_process(self, process: int) -> "WordRelevance":
        """Only the words of one latent process (of one class)."""
        return WordRelevance(tuple(row for row in self.rows if row.process == process))

    def __str__(self) -> str:
        shown = self.rows[:20]
        width = max([len(row.name) for row in shown], default=0)
        lines = [f"{'word':{width}}  level  process  sign  relevance"]
        lines += [
            f"{row.name:{width}}  {row.level:5}  {row.process:7}  {'-0+'[row.sign + 1]:>4}  {row.relevance:9.3g}"
            for row in shown
        ]
        left_out = len(self.rows) - len(shown)
        return "\n".join(lines + ([f"and {left_out} more"] if left_out else []))

    def plot(self, top: int = 10, ax: "Axes | None" = None) -> "Axes":
        """
        :func:`sigkernel_tf.plot_relevance` of these words.

        :param top: how many words to draw.
        :param ax: matplotlib's axes to draw on; None: new ones.
        :raises ImportError: without matplotlib.
        """
        return plot_relevance(self, top=top, ax=ax)


def word_relevance(model: SVGP, channel_names: Sequence[str] | None = None, *, X: Any = None) -> WordRelevance:
    r"""
    The words of a model's orthogonal signature features, ranked by relevance (section 6.4, figure 4).

    The posterior mean is f(x) = sum_m m_m S^m(x) (eq. 29). A word's relevance is \|m_m\| times the standard deviation
    of its feature S^m over the data X: the variation of f over the data that the word accounts for by itself. So a word
    whose feature hardly varies counts for little, whatever its coefficient. The empty word, a constant, is left out.

    Without X the spread counts as 1, and words are ranked only by \|m_m\|, the shift of the inducing variable u_m in
    units of its standard deviation under the prior, which is 1 for every word. This ranks high levels, whose features
    are small, too high: give X where you have it.

    Names are read in the direction of time: "humidity → pressure" is large where a change of humidity comes before one
    of pressure. Features of overlapping words are correlated, and relevance does not divide between them what they have
    in common.

    >>> relevance = word_relevance(model, ["heater", "temperature"], X=rows)
    >>> len(relevance), len(relevance[0].word) > 0  # all words but the empty one
    (14, True)

    :param model: :class:`~sigkernel_tf.gp.SigGPDE`, or an SVGP with ``OrthogonalSignatureFeatures``.
    :param channel_names: a name for each channel of the paths, a time channel and those that the kernel does not see
        included; None: "channel 0" and so on.
    :param X: flattened paths [N, L * D], the training set for instance; an array, a memory-mapped file or its like.
    :raises TypeError: for a model with other inducing variables, and for names that are no strings.
    :raises ValueError: where the numbers of names and of channels differ, and for an X without paths.
    """
    processes = _processes(model)
    means = model.q_mu.numpy()  # [M, L]
    spreads: dict[Any, np.ndarray] = {}
    rows = []
    for process, (inducing, kernel) in enumerate(processes):
        names = _checked_names(channel_names, kernel.num_channels)
        if kernel not in spreads:
            spreads[kernel] = np.ones(len(means)) if X is None else _spread(inducing, kernel, X)
        channels = range(kernel.num_channels) if kernel.channels is None else kernel.channels  # those it sees
        numbers = zip(words(len(channels), len(means)), means[:, process], spreads[kernel], strict=True)
        for letters, mean, spread in numbers:
            word = tuple(channels[letter] for letter in letters)
            if word:
                name = _ARROW.join(names[i] for i in word)
                rows.append(RelevantWord(word, name, process, float(mean), float(spread)))
    return WordRelevance(tuple(sorted(rows, key=lambda row: -row.relevance)))


def _processes(model: Any) -> list[tuple[OrthogonalSignatureFeatures, SignatureKernel]]:
    """The inducing variables and the kernel of each latent process."""
    inducing: Any
    kernel: Any
    inducing, kernel = getattr(model, "inducing_variable", None), model.kernel
    of_each = inducing.inducing_variables if isinstance(inducing, MultioutputInducingVariables) else (inducing,)
    kernels = kernel.latent_kernels if isinstance(kernel, MultioutputKernel) else (kernel,)
    for one in of_each:
        if not isinstance(one, OrthogonalSignatureFeatures):
            raise TypeError(
                "model must have OrthogonalSignatureFeatures, whose means belong to words, got "
                f"{type(model).__name__} with {type(one).__name__}: take SigGPDE."
            )
    check_num_latents(kernel, inducing, model.q_mu)
    return [(of_each[i % len(of_each)], kernels[i % len(kernels)]) for i in range(model.num_latent_gps)]


def _checked_names(channel_names: Sequence[str] | None, num_channels: int) -> list[str]:
    if channel_names is None:
        return [f"channel {i}" for i in range(num_channels)]
    if isinstance(channel_names, str) or not all(isinstance(name, str) for name in channel_names):
        raise TypeError(
            "channel_names must be a sequence of strings, one for each channel, got "
            f"{type(channel_names).__name__}: for instance ['time', 'pressure']; paths are given as X=."
        )
    if len(channel_names) != num_channels:
        raise ValueError(
            f"channel_names must have {num_channels} names, one for each channel of the paths (a time channel "
            f"included), got {len(channel_names)}: {list(channel_names)}."
        )
    if len(set(channel_names)) < num_channels:
        raise ValueError(f"channel_names must differ, got {list(channel_names)}: words could not be told apart.")
    return list(channel_names)


def _spread(inducing: OrthogonalSignatureFeatures, kernel: Any, X: Any) -> np.ndarray:
    """Standard deviations of the features over the paths, [M], a batch at a time by pairwise updates (Chan 1983)."""
    paths = as_array_like(X, "X")
    if len(paths.shape) != 2 or paths.shape[0] == 0:
        raise ValueError(
            f"X must be flattened paths [N, L * D], N at least 1, got shape {paths.shape}: use flatten_paths."
        )
    count, mean, squares = 0, np.zeros(inducing.num_inducing), np.zeros(inducing.num_inducing)
    for batch in row_parts(paths, _BATCH):
        S = covariances.Kuf(inducing, kernel, as_default_float(batch)).numpy().astype(np.float64)  # [M, B]
        size, shift = S.shape[1], S.mean(axis=1) - mean
        squares += S.var(axis=1) * size + shift**2 * count * size / (count + size)
        mean += shift * size / (count + size)
        count += size
    return np.sqrt(squares / count)
