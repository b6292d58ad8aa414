import warnings
from pathlib import Path

import pandas
import pytest
import synthetic

from bench.records.frame import read_frame
from bench.report.build import build


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic suite, not reported on yet."""
    return synthetic.write_suite(tmp_path_factory.mktemp("results") / "quick")


@pytest.fixture(scope="session")
def frame(root: Path) -> pandas.DataFrame:
    return read_frame(root)


@pytest.fixture(scope="session")
def built(root: Path) -> Path:
    """The synthetic suite with its report, which no warning stands in the way of."""
    with warnings.catch_warnings(action="error"):
        build(root)
    return root
