"""The folder of data files that the environment variable SIGKERNEL_TF_DATA names."""

import os
from pathlib import Path

VARIABLE = "SIGKERNEL_TF_DATA"


class DataNotFoundError(RuntimeError):
    """A data set is neither in the folder nor to be downloaded. The message says where to put its files."""


def data_folders(*below: str) -> list[Path]:
    """
    The places to look for files: the user's data folder, then the given folders in it; none if it is not set.

    :param below: paths relative to the data folder.
    """
    folder = os.environ.get(VARIABLE)
    return [Path(folder), *(Path(folder) / name for name in below)] if folder else []


def not_found(dataset: str, files: str, cure: str) -> DataNotFoundError:
    """
    The error for a data set whose files were not found.

    :param files: the names of the files that were looked for.
    :param cure: what else was tried and what to do, as whole sentences but for a first clause that goes on from
        ``files``.
    """
    folder = os.environ.get(VARIABLE)
    looked = f"{VARIABLE}={folder} has no" if folder else f"{VARIABLE} is not set to a folder with"
    return DataNotFoundError(f"{dataset} was not found: {looked} {files}{cure}")
