"""Statoil's JSON, read exactly; damaged files are refused by record, and nothing is left behind."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_files import BAND, N_PIXELS, left_in, statoil_files, statoil_json, statoil_record, write_files
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foldwise.competitions.statoil import reader
from foldwise.competitions.statoil.reader import json_objects
from foldwise.errors import FoldwiseError
from foldwise.stages.prepare import prepare

KAGGLE = ("competition=statoil", "source=kaggle")
RAMP_1 = [-i / 1000 for i in range(N_PIXELS)]
RAMP_2 = [-30 - i / 1000 for i in range(N_PIXELS)]


@pytest.fixture
def prepared(settings, tmp_path: Path) -> Callable:
    """Prepare the given texts as the host's files."""

    def prepare_files(files: dict[str, str], *overrides: str):
        one = settings(*KAGGLE, *overrides)
        write_files(one.raw_dir, files)
        return prepare(one)

    return prepare_files


def ramps(**changes) -> dict[str, str]:
    train = [statoil_record("00000001", 1, band_1=RAMP_1, band_2=RAMP_2), statoil_record("00000002", 0)]
    return statoil_files(train) | changes


# What is read


def test_bands_are_row_major_and_in_order(prepared) -> None:
    data = prepared(ramps())
    image = data.train.images[0]
    assert (image.shape, image.dtype) == ((75, 75, 2), np.float32)
    assert image[0, 0].tolist() == [0.0, -30.0]
    assert image[0, 1, 0] == np.float32(-0.001)
    assert image[1, 0, 0] == np.float32(-0.075)
    assert image[74, 74].tolist() == [np.float32(-5.624), np.float32(-35.624)]
    assert (data.train.images[1] == -20.5).all()


@pytest.mark.parametrize(("crop", "first"), [(75, 0.0), (74, 0.0), (73, -0.076), (50, -0.912), (8, -2.508)])
def test_crop_keeps_the_centre(prepared, crop: int, first: float) -> None:
    image = prepared(ramps(), f"competition.options.crop={crop}").train.images[0]
    assert image.shape == (crop, crop, 2)
    assert image[0, 0, 0] == np.float32(first)
    assert image[1, 0, 0] == np.float32(first - 0.075)


def test_amplitude_is_linear(prepared) -> None:
    train = [
        statoil_record("00000001", 1, band_1=[20, 0, -20, -40] + [6.0206] * (N_PIXELS - 4)),
        statoil_record("00000002", 0),
    ]
    image = prepared(statoil_files(train), "competition.options.units=amplitude").train.images[0]
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[0, :5, 0], [10, 1, 0.1, 0.01, 2], rtol=1e-6)
    np.testing.assert_allclose(image[:, :, 1], 0.09440609, rtol=1e-6)  # -20.5 dB


def test_angles_and_their_groups(prepared) -> None:
    angles = [38.1234, 38.1234, "na", "na", 34, 34.5]
    train = [statoil_record(f"0000000{i}", i % 2, angle) for i, angle in enumerate(angles)]
    table = prepared(statoil_files(train)).train.table
    assert table["inc_angle"].tolist()[:2] == [38.1234, 38.1234]
    assert table["inc_angle"].isna().tolist() == [False, False, True, True, False, False]
    assert table["inc_angle"].tolist()[4:] == [34.0, 34.5]
    assert table["group"].tolist() == ["38.1234", "38.1234", "na_00000002", "na_00000003", "34.0000", "34.5000"]
    assert table["is_iceberg"].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("angle", "scored"),
    [(39.1234, True), (39.12345, False), (39.123456, False), (39.0, True), (39, True), ("na", True), (45.2814, True)],
)
def test_generated_rows_are_told_by_the_decimals_of_their_angle(prepared, angle: float | str, scored: bool) -> None:
    data = prepared(statoil_files(test=[statoil_record("a0000000", angle=angle)]))
    assert data.test.table["scored"].tolist() == [scored]
    assert data.test.table["generated"].tolist() == [not scored]
    assert "is_iceberg" not in data.test.table
    assert "scored" not in data.train.table


def test_the_keys_may_stand_in_any_order_beside_others(prepared) -> None:
    train = json.loads(ramps()["train.json"])
    mixed = [dict(reversed(record.items())) | {"source": "S1A, {a} [b]"} for record in train]
    data = prepared(ramps(**{"train.json": statoil_json(mixed)}))
    assert data.train.images[0, 74, 74].tolist() == [np.float32(-5.624), np.float32(-35.624)]
    assert data.train.table["id"].tolist() == ["00000001", "00000002"]


def test_the_file_may_be_indented_and_lie_in_a_folder_of_the_archive(settings) -> None:
    one = settings(*KAGGLE)
    files = ramps()
    spaced = "\r\n " + json.dumps(json.loads(files["train.json"]), indent=2).replace("\n", "\r\n") + "\r\n\r\n"
    write_files(one.raw_dir, {"sample_submission.csv": files["sample_submission.csv"]})
    write_files(one.raw_dir / "data" / "processed", {"train.json": spaced, "test.json": files["test.json"]})
    data = prepare(one)
    assert data.train.images[0, 1, 0, 0] == np.float32(-0.075)


def test_simulated_files_are_read_to_the_last_pixel(settings) -> None:
    one = settings("competition=statoil", "source.n_train=60", "source.n_test=40")
    data = prepare(one)
    for name, split in (("train", data.train), ("test", data.test)):
        raw = json.loads((one.raw_dir / f"{name}.json").read_bytes())
        bands = np.array([[record["band_1"], record["band_2"]] for record in raw], np.float32)
        assert (bands.reshape(-1, 2, 75, 75).transpose(0, 2, 3, 1) == split.images).all()
        assert split.table["id"].tolist() == [record["id"] for record in raw]
        angles = [float("nan") if record["inc_angle"] == "na" else record["inc_angle"] for record in raw]
        np.testing.assert_array_equal(split.table["inc_angle"], angles)
    assert data.test.table["scored"].sum() == 16  # 3,424 of 8,424


def test_only_the_solution_tells_the_test_labels(settings) -> None:
    one = settings("competition=statoil", "source.n_train=20", "source.n_test=12")
    data = prepare(one)
    assert left_in(one.raw_dir) == ["sample_submission.csv", "solution.csv", "source.json", "test.json", "train.json"]
    assert "is_iceberg" not in (one.raw_dir / "test.json").read_text()
    sample = (one.raw_dir / "sample_submission.csv").read_text().splitlines()
    assert {line.split(",")[1] for line in sample[1:]} == {"0.5"}
    assert list(data.test.table) == ["id", "inc_angle", "group", "generated", "scored"]
    assert left_in(data.path) == [
        *(
            "checksums.json",
            "dataset.json",
            "sample_submission.csv",
            "test.npy",
            "test.parquet",
            "train.npy",
            "train.parquet",
        ),
    ]


def test_real_radar_chips_are_read(settings) -> None:
    path = Path(__file__).parents[4] / "shared" / "data" / "opensarship_75x75.json.gz"
    if not path.is_file():
        pytest.skip("the OpenSARShip chips (shared/data/opensarship_75x75.json.gz beside the repository) are not here")
    chips = json.loads(gzip.decompress(path.read_bytes()))
    keys = ("id", "band_1", "band_2", "inc_angle")
    records = [{key: chip[key] for key in keys} for chip in chips]
    labels = [int(chip["ship_type"] == "Cargo") for chip in chips]
    train = [record | {"is_iceberg": label} for record, label in zip(records[:130], labels, strict=False)]
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files(train, records[130:]))
    data = prepare(one)
    assert (data.train.images.shape, data.test.images.shape) == ((130, 75, 75, 2), (32, 75, 75, 2))
    assert data.train.table["id"].iloc[0] == "688413b0"
    assert (
        data.train.images[0, 0, :2].tolist() == np.float32([[-18.151795, -22.211063], [-18.50631, -24.771599]]).tolist()
    )
    assert data.train.images[0, 74, 74].tolist() == np.float32([-10.305113, -25.278268]).tolist()
    assert data.train.table["inc_angle"].iloc[0] == 37.6822
    assert data.train.table["is_iceberg"].sum() + sum(labels[130:]) == 96  # cargo ships
    assert -45 < data.train.images.min() < data.train.images.max() < 40  # dB
    assert np.isfinite(data.train.images).all()


# How a list is cut into its objects


def objects(path: Path, text: str | bytes, chunk_bytes: int = 1 << 20) -> list:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [json.loads(found) for found in json_objects(path, chunk_bytes)]


TRICKY = [{"id": "a}b{", "x": [1, 2]}, {"id": 'q"}', "y": "\\"}, {"id": "é}]", "z": '\\"}'}, {}]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_chunk_may_end_at_every_byte(tmp_path: Path, indent: int | None) -> None:
    text = " \n" + json.dumps(TRICKY, indent=indent, ensure_ascii=False) + "\n "
    for chunk_bytes in range(1, len(text.encode()) + 2):
        assert objects(tmp_path / "a.json", text, chunk_bytes) == TRICKY


SCALARS = st.none() | st.integers() | st.text(st.sampled_from('{}[]",\\: a\né'), max_size=8)
FLAT = st.dictionaries(st.text(st.sampled_from('{}"\\ab'), max_size=3), SCALARS | st.lists(SCALARS, max_size=3))


@given(records=st.lists(FLAT, min_size=1, max_size=5), chunk=st.integers(1, 60), indent=st.sampled_from([None, 0, 2]))
@hypothesis_settings(max_examples=100)
def test_any_flat_objects_come_back(tmp_path_factory, records: list, chunk: int, indent: int | None) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    assert objects(path, json.dumps(records, indent=indent, ensure_ascii=False), chunk) == records


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    text = json.dumps(TRICKY).encode()
    for cut in range(len(text)):
        with pytest.raises(
            FoldwiseError, match=r"^a.json: (expected a JSON list|the file ends in the middle of record)"
        ):
            objects(tmp_path / "a.json", text[:cut], chunk_bytes=16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.json: expected a JSON list of objects, but the file is empty"),
        (" \n", "a.json: expected a JSON list of objects, but the file is empty"),
        ('{"id": 1}', "a.json: expected a JSON list of objects, but the file starts with b'{"),
        ("[]", "a.json: the list is empty"),
        ("[ \n]\n", "a.json: the list is empty"),
        ('[{"id": 1}', "a.json: the file ends in the middle of record 2"),
        ('[{"id": 1},', "a.json: the file ends in the middle of record 2"),
        ('[{"id": 1}] and more', "a.json: the file ends in the middle of record 2"),
        ("[[1], [2]]", "a.json: the file ends in the middle of record 1"),
        ("[1, 2]", "a.json: the file ends in the middle of record 1"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_what_is_no_list_of_objects_is_refused(tmp_path: Path, text: str, expected: str, chunk_bytes: int) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        objects(tmp_path / "a.json", text, chunk_bytes)


# Damaged files


def changed(name: str, number: int, **columns) -> dict[str, str]:
    """The host's files with some values of one record changed, or removed where the value is `...`."""
    files = statoil_files()
    records = json.loads(files[name])
    records[number - 1] |= columns
    records[number - 1] = {key: value for key, value in records[number - 1].items() if value is not ...}
    return files | {name: statoil_json(records)}


def with_pixel(name: str, number: int, text: str) -> dict[str, str]:
    """The host's files with the text of one pixel replaced."""
    return {
        key: value.replace("12345.5", text) for key, value in changed(name, number, band_2=[12345.5, *BAND[1:]]).items()
    }


def cut(name: str, share: float) -> dict[str, str]:
    files = statoil_files()
    return files | {name: files[name][: int(share * len(files[name]))]}


def replaced(name: str, text: str) -> dict[str, str]:
    return statoil_files() | {name: text}


BAD = {
    "train cut in record 1": (cut("train.json", 0.1), "train.json: the file ends in the middle of record 1"),
    "train cut in record 3": (cut("train.json", 0.6), "train.json: the file ends in the middle of record 3"),
    "test cut in record 3": (cut("test.json", 0.99), "test.json: the file ends in the middle of record 3"),
    "short band": (
        changed("train.json", 2, band_1=BAND[1:]),
        "train.json, record 2: band_1 of '00000001' has 5624 pixels, expected 5625",
    ),
    "long band": (
        changed("test.json", 3, band_2=[*BAND, 1.5]),
        "test.json, record 3: band_2 of 'a0000002' has 5626 pixels, expected 5625",
    ),
    "no band": (
        changed("train.json", 4, band_2=...),
        "train.json, record 4: 'band_2' is missing; its keys are id, band_1",
    ),
    "null pixel": (
        with_pixel("train.json", 2, "null"),
        'train.json, record 2 ({"id":"00000001".*must be lists of numbers',
    ),
    "text pixel": (
        with_pixel("train.json", 2, '"5"'),
        'train.json, record 2 ({"id":"00000001".*must be lists of numbers',
    ),
    "band of text": (changed("train.json", 1, band_1="x"), 'record 1 ({"id":"00000000".*must be lists of numbers'),
    "NaN": (with_pixel("train.json", 3, "NaN"), 'train.json, record 3 ({"id":"00000002".*a NaN or infinite number'),
    "Infinity": (with_pixel("test.json", 1, "Infinity"), 'test.json, record 1 ({"id":"a0000000".*a NaN or infinite'),
    "-Infinity": (with_pixel("test.json", 1, "-Infinity"), 'test.json, record 1 ({"id":"a0000000".*a NaN or infinite'),
    "1e999": (with_pixel("train.json", 3, "1e999"), 'train.json, record 3 ({"id":"00000002".*a NaN or infinite number'),
    "1e39 is infinite in float32": (
        with_pixel("train.json", 3, "1e39"),
        "train.json, record 3: NaN or infinite pixel at (0, 0, 1) of the image of '00000002'",
    ),
    "no number": (with_pixel("train.json", 3, "1.2.3"), 'train.json, record 3 ({"id":"00000002"'),
    "no JSON": (replaced("train.json", '[{"id" 1}]'), 'train.json, record 1 ({"id" 1}...): cannot be read: '),
    "duplicate id": (
        changed("train.json", 4, id="00000000"),
        "train.json, record 4: duplicate id '00000000' in train",
    ),
    "duplicate test id": (
        changed("test.json", 2, id="a0000000"),
        "test.json, record 2: duplicate id 'a0000000' in test",
    ),
    "test id in train": (
        changed("test.json", 2, id="00000003"),
        "test.json, record 2: the test id '00000003' is also in train",
    ),
    "no id": (changed("train.json", 2, id=...), "train.json, record 2: 'id' is missing"),
    "no label": (changed("train.json", 2, is_iceberg=...), "train.json, record 2: 'is_iceberg' is missing"),
    "null label": (
        changed("train.json", 2, is_iceberg=None),
        "record 2: the label 'is_iceberg' of '00000001' is missing",
    ),
    "label 2": (
        changed("train.json", 2, is_iceberg=2),
        "record 2: the label 'is_iceberg' of '00000001' is 2, expected 0 or 1",
    ),
    "text label": (changed("train.json", 2, is_iceberg="1"), "record 2: the label 'is_iceberg' of '00000001' is '1'"),
    "no angle": (changed("test.json", 2, inc_angle=...), "test.json, record 2: 'inc_angle' is missing"),
    "text angle": (
        changed("test.json", 2, inc_angle="nan"),
        "test.json, record 2: inc_angle of 'a0000001' is 'nan', expected degrees or \"na\"",
    ),
    "null angle": (changed("train.json", 1, inc_angle=None), "train.json, record 1: inc_angle of '00000000' is None"),
    "one class": (
        statoil_files([statoil_record("1", 0), statoil_record("2", 0)]),
        "the class 'is_iceberg' cannot be learned: no row has it in the training data",
    ),
    "empty train": (replaced("train.json", ""), "train.json: expected a JSON list of objects, but the file is empty"),
    "empty list": (replaced("test.json", "[]"), "test.json: the list is empty"),
    "a CSV": (
        replaced("train.json", "id,label\n"),
        "train.json: expected a JSON list of objects, but the file starts with",
    ),
    "empty sample": (replaced("sample_submission.csv", ""), "sample_submission.csv: the file is empty"),
    "other sample": (
        replaced("sample_submission.csv", "id,is_iceberg\r\na0000000,0.5\r\na0000001,0.5\r\nffffffff,0.5\r\n"),
        "sample_submission.csv: its ids are not the test ids: 1 are not in test, 1 test ids are absent, "
        "for example 'ffffffff'",
    ),
}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize(("files", "expected"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_by_record_and_nothing_is_left(settings, prepared, files: dict, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected).replace(r"\.\*", ".*")):
        prepared(files)
    assert left_in(settings(*KAGGLE).prepared_dir) == []
    prepared(statoil_files())  # the mended files are read
    assert len(left_in(settings(*KAGGLE).prepared_dir)) == 1


@pytest.mark.parametrize("name", ["train.json", "test.json", "sample_submission.csv"])
def test_a_missing_file_is_named_with_the_command_that_fetches_it(settings, prepared, name: str) -> None:
    files = statoil_files()
    del files[name]
    with pytest.raises(
        FoldwiseError, match=rf"{name} is missing; the folder holds .*`foldwise download competition=statoil`"
    ):
        prepared(files)
    assert left_in(settings(*KAGGLE).prepared_dir) == []


def test_truth_is_a_column() -> None:
    import pandas as pd

    solution = pd.DataFrame({"id": ["a", "b"], "is_iceberg": ["1", "0"], "Usage": ["Public", "Ignored"]})
    assert reader.truth(solution, ["is_iceberg"], crop=50).tolist() == [[1.0], [0.0]]
