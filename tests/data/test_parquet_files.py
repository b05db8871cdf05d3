"""Parquet files are read as pandas reads them, but not those whose rows would fill the memory."""

import numpy as np
import pandas as pd
import pytest

from foldwise.data.parquet_files import read_parquet
from foldwise.errors import FoldwiseError

TABLES = {
    "numbers and text": lambda: pd.DataFrame({"id": ["a", "b"], "p": [0.25, 0.75], "fold": [0, 1]}),
    "a category": lambda: pd.DataFrame({"id": pd.Categorical(["a", "b", "a"]), "p": [0.5, 0.5, 0.5]}),
    "no rows": lambda: pd.DataFrame({"id": [], "p": []}),
    "a million rows": lambda: pd.DataFrame({"id": np.arange(10**6), "p": 0.5}),
    "text in a million rows": lambda: pd.DataFrame({"id": ["image_0001.png"] * 10**6}),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_tables_are_those_of_pandas(table, tmp_path):
    table().to_parquet(tmp_path / "a.parquet", index=False)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet"), pd.read_parquet(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("table", "takes"),
    [
        (lambda: pd.DataFrame({"p": np.zeros(20_000_000)}), "160,000,000"),
        (lambda: pd.DataFrame({"id": ["x" * 100_000] * 2_000}), "200,000,000"),
        (lambda: pd.DataFrame({"id": pd.Categorical(["x" * 100_000] * 2_000)}), "200,000,000"),
    ],
    ids=["one number", "one text", "one category"],
)
def test_one_value_for_very_many_rows_is_refused(table, takes, tmp_path):
    path = tmp_path / "a.parquet"
    table().to_parquet(path, index=False, row_group_size=10**8)
    assert path.stat().st_size < 10**6
    with pytest.raises(FoldwiseError, match=f"a.parquet: refused: its rows take {takes}[0-9,]* bytes and more, of 128"):
        read_parquet(path)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", b"id,p\n1,2\n"])
def test_what_is_no_parquet_is_named(data, tmp_path):
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(FoldwiseError, match=r"a.parquet: cannot be read as a parquet: "):
        read_parquet(tmp_path / "a.parquet")
