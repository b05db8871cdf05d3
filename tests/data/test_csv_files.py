"""A CSV is read as text whatever wrote it, and a submission is written in the form of its sample."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from foldwise.data.csv_files import CsvForm, read_csv, to_csv
from foldwise.errors import FoldwiseError

TABLE = pd.DataFrame({"id": ["007", "1e5", "NA"], "label": ["ä b", "None", "0.0"]})
PLAIN = TABLE.to_csv(index=False)

FORMS = {
    "plain": (PLAIN.encode(), CsvForm()),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), CsvForm("utf-8-sig")),
    "CRLF and quotes": (
        TABLE.to_csv(index=False, lineterminator="\r\n", quoting=csv.QUOTE_ALL).encode(),
        CsvForm(line_end="\r\n"),
    ),
    "CR": (PLAIN.replace("\n", "\r").encode(), CsvForm(line_end="\r", notes=("lines end with CR",))),
    "semicolons": (
        TABLE.to_csv(index=False, sep=";").encode(),
        CsvForm(separator=";", notes=("cells are separated by semicolons",)),
    ),
    "tabs": (
        TABLE.to_csv(index=False, sep="\t").encode(),
        CsvForm(separator="\t", notes=("cells are separated by tabs",)),
    ),
    "vertical bars": (
        TABLE.to_csv(index=False, sep="|").encode(),
        CsvForm(separator="|", notes=("cells are separated by vertical bars",)),
    ),
    "UTF-16": (PLAIN.encode("utf-16"), CsvForm("utf-16", notes=("the encoding is utf-16",))),
    "UTF-16 without a mark": (
        PLAIN.encode("utf-16-le"),
        CsvForm("utf-16-le", notes=("the encoding is utf-16-le",)),
    ),
    "UTF-16, the other byte first": (
        PLAIN.encode("utf-16-be"),
        CsvForm("utf-16-be", notes=("the encoding is utf-16-be",)),
    ),
    "cp1252": (PLAIN.encode("cp1252"), CsvForm("cp1252", notes=("the encoding is cp1252",))),
    "blank lines": (PLAIN.replace("\n", "\n\n").encode(), CsvForm()),
    "blanks after separators": (PLAIN.replace(",", ", ").encode(), CsvForm()),
    "blanks at the ends": (
        PLAIN.replace("\n", " \n").encode(),
        CsvForm(notes=("blanks around 3 cells are removed",)),
    ),
    "rows without text": (
        (PLAIN + ",\n,\n").encode(),
        CsvForm(notes=("2 rows without any text are left out",)),
    ),
    "an index": (
        TABLE.to_csv().encode(),
        CsvForm(index_name="", notes=("a first column that only counts the rows is left out",)),
    ),
    "an index that was read and written again": (
        ("Unnamed: 0,id,label\n" + "".join(f"{i},{row}\n" for i, row in enumerate(PLAIN.splitlines()[1:]))).encode(),
        CsvForm(index_name="Unnamed: 0", notes=("a first column that only counts the rows is left out",)),
    ),
    "R's numbers of rows": (
        ("id,label\n" + "".join(f'"{i + 1}",{row}\n' for i, row in enumerate(PLAIN.splitlines()[1:]))).encode(),
        CsvForm(),
    ),
    "a separator at the end of each row": (PLAIN.replace("\n", ",\n").replace("label,", "label").encode(), CsvForm()),
    "a spreadsheet's line": (
        b"sep=;\n" + TABLE.to_csv(index=False, sep=";").encode(),
        CsvForm(
            separator=";",
            skipped=1,
            notes=("cells are separated by semicolons", "1 lines before the header are left out"),
        ),
    ),
    "comments": (
        b"# made by hand\n# on Monday\n" + PLAIN.encode(),
        CsvForm(skipped=2, notes=("2 lines before the header are left out",)),
    ),
}


@pytest.mark.parametrize(("data", "form"), FORMS.values(), ids=FORMS)
def test_the_same_table_in_any_form(tmp_path: Path, data: bytes, form: CsvForm) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    table, found = read_csv(tmp_path / "t.csv")
    assert table.reset_index(drop=True).to_dict("list") == TABLE.to_dict("list")
    assert found == form


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (CsvForm(), b"id,label\na,1\nb,2\n"),
        (CsvForm("utf-16", ";", "\r\n"), b"id;label\r\na;1\r\nb;2\r\n"),
        (CsvForm("utf-8-sig", "\t", "\r", skipped=1), b"id\tlabel\ra\t1\rb\t2\r"),
        (CsvForm(index_name=""), b",id,label\n0,a,1\n1,b,2\n"),
        (CsvForm(index_name="Unnamed: 0"), b"Unnamed: 0,id,label\n0,a,1\n1,b,2\n"),
    ],
)
def test_a_table_is_written_as_another_file_is(tmp_path: Path, form: CsvForm, expected: bytes) -> None:
    to_csv(pd.DataFrame({"id": ["a", "b"], "label": [1, 2]}, index=[7, 3]), tmp_path / "t.csv", form)
    assert (tmp_path / "t.csv").read_bytes() == expected


def test_cells_with_separators_of_other_files_stay_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,label\n1,"Black-grass, wild"\n2,a|b;c\n')
    assert read_csv(tmp_path / "t.csv")[0]["label"].tolist() == ["Black-grass, wild", "a|b;c"]


def test_a_column_without_a_name_that_is_the_id_stays(tmp_path: Path) -> None:
    """`,cat,dog`: the first column counts from 0, but it is all that names the rows."""
    (tmp_path / "t.csv").write_text(",cat,dog\n0,0.5,0.5\n1,0.5,0.5\n")
    table, form = read_csv(tmp_path / "t.csv")
    assert (list(table.columns)[1:], form.index_name) == (["cat", "dog"], None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "t.csv: the file is empty"),
        (b"PK\x03\x04\x00\x00\x00\x01\x02", "t.csv: cannot be read as a CSV: it is a zip archive or a spreadsheet"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "t.csv: cannot be read as a CSV: it is binary data"),
        (b"id,label\na,1\nb,2,3\n", "Expected 2 fields in line 3"),
        (b"id,label\na,1,x\nb,2,y\n", "t.csv: cannot be read as a CSV: the header has 2 cells, the rows 3"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        read_csv(tmp_path / "t.csv")
