"""
What the estimators reach with their defaults, beside what people would use instead: ``python -m benchmarks.accuracy``.

The files, in the order in which a run uses them: ``datasets`` finds the data sets at hand, ``splits`` draws training
and test sets from them, ``environment`` makes the peers' environment, ``runs`` fits each method in a process of its own
and keeps one file of results for each fit, ``scores`` says how good the predictions are, and ``tables`` and ``ranks``
write what is there. In the process of a fit, ``fitting`` measures it; ``ours`` and ``peers`` hold the methods, which
exchange files with the rest by ``exchange``. These four must also run in an environment without TensorFlow, and
therefore import of this repository only each other.
"""
