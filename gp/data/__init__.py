"""Data for training and prediction: arrays, and files larger than memory, read by rows; labels that are classes."""

from .datasets import path_dataset
from .minibatches import minibatches
from .rows import Rows, as_rows
from .shards import read_shards, write_shards
from .tfrecords import read_tfrecords, write_tfrecords

__all__ = [
    "Rows",
    "as_rows",
    "minibatches",
    "path_dataset",
    "read_shards",
    "read_tfrecords",
    "write_shards",
    "write_tfrecords",
]
