"""Scanner files: the header to the byte, words through the memory map, and files that are damaged."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise.__main__ import main
from foldwise.competitions.passenger_screening import scan_format
from foldwise.competitions.passenger_screening.scan_format import HEADER
from foldwise.errors import FoldwiseError

OFFSETS = {  # first field of each entry of the published table
    **{"filename": 0, "parent": 20, "comments1": 40, "comments2": 120, "energy_type": 200, "config_type": 202},
    **{"file_type": 204, "trans_type": 206, "scan_type": 208, "data_type": 210, "date_modified": 212},
    **{"frequency": 228, "mat_velocity": 232, "num_pts": 236, "num_polarization_channels": 240, "spare00": 242},
    **{"adc_min_voltage": 244, "adc_max_voltage": 248, "band_width": 252, "spare01": 256, "polarization_type": 266},
    **{"record_header_size": 274, "word_type": 276, "word_precision": 278, "min_data_value": 280},
    **{"max_data_value": 284, "avg_data_value": 288, "data_scale_factor": 292, "data_units": 296},
    **{"surf_removal": 298, "edge_weighting": 300, "x_units": 302, "y_units": 304, "z_units": 306, "t_units": 308},
    **{"spare02": 310, "x_return_speed": 312, "y_return_speed": 316, "z_return_speed": 320},
    **{"scan_orientation": 324, "scan_direction": 326, "data_storage_order": 328, "scanner_type": 330},
    **{"x_inc": 332, "y_inc": 336, "z_inc": 340, "t_inc": 344},
    **{"num_x_pts": 348, "num_y_pts": 352, "num_z_pts": 356, "num_t_pts": 360},
    **{"x_speed": 364, "y_speed": 368, "z_speed": 372, "x_acc": 376, "y_acc": 380, "z_acc": 384},
    **{"x_motor_res": 388, "y_motor_res": 392, "z_motor_res": 396},
    **{"x_encoder_res": 400, "y_encoder_res": 404, "z_encoder_res": 408},
    **{"date_processed": 412, "time_processed": 420, "depth_recon": 428, "x_max_travel": 432, "y_max_travel": 436},
    **{"elevation_offset_angle": 440, "roll_offset_angle": 444, "z_max_travel": 448, "azimuth_offset_angle": 452},
    **{"adc_type": 456, "spare06": 458, "scanner_radius": 460, "x_offset": 464, "y_offset": 468, "z_offset": 472},
    **{"t_delay": 476, "range_gate_start": 480, "range_gate_end": 484, "ahis_software_version": 488},
    "spare_end": 492,
}
KINDS = {"S20": (0, 20), "S80": (40, 120), "S16": (212,), "S8": (412, 420)}
SHORTS = {*range(200, 212, 2), 240, 242, 274, 276, 278, 296, 310, *range(324, 332, 2), 456, 458}
UNSIGNED = {298, 300, 302, 304, 306, 308}
INTEGERS = {236, 348, 352, 356, 360}


def words(shape: tuple[int, ...], dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, shape).astype(dtype)


def test_the_header_is_the_published_table() -> None:
    assert HEADER.itemsize == 512
    assert {name: HEADER.fields[name][1] for name in HEADER.names} == OFFSETS
    for name in HEADER.names:
        dtype, offset = HEADER.fields[name][:2]
        if offset in {256, 266, 492}:
            assert (dtype.base.str, dtype.shape) == {256: ("<i2", (5,)), 266: ("<i2", (4,)), 492: ("<f4", (5,))}[offset]
        elif dtype.kind == "S":
            assert offset in KINDS[dtype.str.lstrip("|")]
        else:
            kind = (
                "<i2" if offset in SHORTS else "<u2" if offset in UNSIGNED else "<i4" if offset in INTEGERS else "<f4"
            )
            assert dtype.str == kind, name


@pytest.mark.parametrize(("suffix", "views", "size"), [("aps", 16, 10_813_952), ("a3daps", 64, 43_254_272)])
def test_full_files_have_the_real_size(tmp_path: Path, suffix: str, views: int, size: int) -> None:
    path = tmp_path / f"scan.{suffix}"
    scan_format.write(path, np.zeros((views, 660, 512), np.uint16))
    assert path.stat().st_size == size


@pytest.mark.parametrize("suffix", ["aps", "a3daps"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_mapped_view_is_what_a_plain_read_gives(tmp_path: Path, suffix: str, dtype: str) -> None:
    path = tmp_path / f"scan.{suffix}"
    given = words((16, 33, 20), dtype)
    scan_format.write(path, given, data_scale_factor=0.5)
    mapped, layout = scan_format.memory_map(path)
    plain = np.frombuffer(path.read_bytes(), f"<{dtype}", offset=512).reshape(16, 33, 20)
    assert isinstance(mapped, np.memmap) and layout.scale == 0.5
    for view in range(16):
        assert (mapped[view] == plain[view][::-1]).all()  # rows are stored bottom-up
        first, end = layout.byte_range(view)
        assert path.read_bytes()[first:end] == plain[view].tobytes()
        assert (scan_format.read_view(path, view) == mapped[view]).all()
    with pytest.raises(FoldwiseError, match=rf"scan\.{suffix}: it has no view 16, but 16 of them"):
        scan_format.read_view(path, 16)
    assert (mapped == given).all()


def test_a_volume_is_stored_x_fastest_then_t_and_rows_bottom_up(tmp_path: Path) -> None:
    path = tmp_path / "scan.a3d"
    given = words((5, 3, 4))  # rows, t, x
    scan_format.write(path, given)
    stored = np.frombuffer(path.read_bytes(), "<u2", offset=512).reshape((4, 3, 5), order="F")  # x, t, y
    assert (scan_format.memory_map(path)[0] == given).all()
    for x, t, y in np.ndindex(4, 3, 5):
        assert stored[x, t, y] == given[4 - y, t, x]


def test_echoes_are_pairs_in_fortran_order(tmp_path: Path) -> None:
    path = tmp_path / "scan.ahi"
    given = (words((2, 3, 4), "f4") + 1j * words((2, 3, 4), "f4")[::-1]).astype(np.complex64)  # t, x, y
    scan_format.write(path, given)
    stored = np.frombuffer(path.read_bytes(), "<f4", offset=512).reshape((2, 4, 3, 2), order="F")  # part, y, x, t
    mapped, layout = scan_format.memory_map(path)
    assert (mapped.dtype, layout.shape) == (np.complex64, (2, 3, 4, 2))
    assert (mapped == given).all()
    assert (given.real == stored[0].T).all() and (given.imag == stored[1].T).all()


def changed(path: Path, **fields: object) -> None:
    """Overwrite fields of a file's header."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, HEADER, 1)[0].copy()
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.tobytes() + content[512:])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_bytes(b""), "0 bytes, which is less than a header"),
        (lambda path: path.write_bytes(path.read_bytes()[:511]), "511 bytes, which is less than a header"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            r"which is 21,632 bytes, .* 21,631 bytes; it is cut",
        ),
        (lambda path: path.write_bytes(bytes(512) + path.read_bytes()[512:]), "the header holds zeros only"),
        (lambda path: changed(path, word_type=5), r"word_type is 5, expected 4 \(uint16\) or 7 \(float32\)"),
        (lambda path: changed(path, word_type=7), r"word_type 7 \(float32\), which is 42,752 bytes, .* it is cut off"),
        (lambda path: changed(path, num_t_pts=15), r"20 x 33 x 15 points .* 21,632 bytes; it is damaged"),
        (lambda path: changed(path, num_x_pts=-20), r"-20 x 33 x 16 points .* which is no size"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage, expected: str) -> None:
    path = tmp_path / "bad.aps"
    scan_format.write(path, words((16, 33, 20)))
    damage(path)
    with pytest.raises(FoldwiseError, match=rf"(?s)bad\.aps: .*{expected}"):
        scan_format.memory_map(path)


def test_other_files_are_no_scans(tmp_path: Path) -> None:
    (tmp_path / "scan.apz").write_bytes(bytes(600))
    with pytest.raises(FoldwiseError, match=r"scan\.apz: not a scan; did you mean '\.aps'\?"):
        scan_format.memory_map(tmp_path / "scan.apz")


def test_inspect_shows_the_header_and_the_views(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    view = np.zeros((16, 66, 52), np.uint16)
    view[3, :33] = 40000  # the upper half of view 3
    scan_format.write(tmp_path / "scan.aps", view, scanner_type=77)
    assert main(["inspect", str(tmp_path / "scan.aps"), str(tmp_path / "sheet.png")]) == 0
    said = capfd.readouterr().out
    for text in ("filename", "scan.aps", "scanner_type", "77", "spare_end", "492"):
        assert text in said
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (2 * 325, 8 * 256)
    assert (sheet[:150, 3 * 256 : 4 * 256] == 255).all()
    assert sheet[170:].max() == sheet[:, : 3 * 256].max() == sheet[:, 4 * 256 :].max() == 0


def test_volumes_and_echoes_are_projected(tmp_path: Path) -> None:
    from foldwise.competitions.passenger_screening.inspect_scan import projections

    volume = np.zeros((4, 5, 6), np.uint16)
    volume[1, 2, 3] = 9
    front, side, top = projections(volume, ".a3d")
    assert (front.shape, side.shape, top.shape) == ((4, 6), (4, 5), (5, 6))
    assert (front[1, 3], side[1, 2], top[2, 3], front.sum() + side.sum() + top.sum()) == (9, 9, 9, 27)
    echoes = np.array([[[3 + 4j, 0]], [[0, 5j]]])  # (2 t, 1 x, 2 y)
    (magnitude,) = projections(echoes, ".ahi")
    assert magnitude == pytest.approx(np.array([[np.sqrt(12.5)], [np.sqrt(12.5)]]))


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [([], 2, "expected a scan file"), (["none.aps"], 1, "none.aps: there is no such file")],
)
def test_inspect_says_what_it_needs(capsys, arguments: list[str], status: int, expected: str) -> None:
    assert main(["inspect", *arguments]) == status
    assert expected in capsys.readouterr().err
