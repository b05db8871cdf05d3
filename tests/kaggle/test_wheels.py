"""The wheels of a bundle: which are needed, where they come from, and their licences."""

import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

from foldwise.errors import FoldwiseError
from foldwise.kaggle import wheels
from foldwise.kaggle.own_wheel import own_wheel, repacked
from foldwise.kaggle.wheels import Needed

COMMON = {"hydra-core", "omegaconf", "antlr4-python3-runtime"}
MLP = Needed("my-net", "1.2", "MIT")


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        ("statoil", COMMON | {"pysimdjson"}),
        ("digit_recognizer", COMMON),
        ("folder", COMMON | {"imagecodecs", "python-gdcm", "pylibjpeg", "pylibjpeg-openjpeg"}),
    ],
)
def test_a_bundle_carries_what_its_reader_needs(reader, expected):
    assert {one.name for one in wheels.needed(reader)} == expected


def test_versions_are_those_that_trained():
    (hydra,) = [one for one in wheels.needed("statoil") if one.name == "hydra-core"]
    assert hydra.pin == f"hydra-core=={metadata.version('hydra-core')}"


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("my_net-1.2-py3-none-any.whl", True),
        ("my_net-1.2-py2.py3-none-any.whl", True),
        ("my_net-1.2-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("my_net-1.2-cp311-abi3-manylinux_2_28_x86_64.whl", True),
        ("my_net-1.2-cp313-abi3-manylinux_2_28_x86_64.whl", False),
        ("my_net-1.2-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("my_net-1.2-cp312-cp312-macosx_11_0_arm64.whl", False),
        ("my_net-1.2-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("my_net-1.3-py3-none-any.whl", False),
        ("my_net_2-1.2-py3-none-any.whl", False),
    ],
)
def test_wheels_of_a_folder_must_fit_the_image(tmp_path, name, fits):
    source, target = tmp_path / "wheels", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / name).write_bytes(b"x")
    if fits:
        assert [path.name for path in wheels.collect([MLP], target, "3.12", source)] == [name]
    else:
        with pytest.raises(FoldwiseError, match=rf"no wheel of my-net==1.2 for Python 3.12 .* holds {name}.*pip down"):
            wheels.collect([MLP], target, "3.12", source)


@pytest.mark.parametrize("published", [None, "source", "wheel"])
def test_pip_downloads_wheels_or_builds_those_of_which_the_source_is_published(tmp_path, monkeypatch, published):
    asked = []

    def pip(command, **_):
        asked.append(command[3])
        ok = published == "wheel" or (published == "source" and command[3] == "wheel")
        if ok:
            (tmp_path / "my_net-1.2-py3-none-any.whl").write_bytes(b"x")
        error = "WARNING: slow\nERROR: Could not find a version that satisfies the requirement my-net==1.2\n"
        return subprocess.CompletedProcess(command, int(not ok), "", "" if ok else error)

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    if published is None:
        with pytest.raises(
            FoldwiseError, match=r"^my-net==1.2: no wheel .*Could not find a version.*bundle.wheels=FOL"
        ):
            wheels.collect([MLP], tmp_path, "3.12")
    else:
        assert [path.name for path in wheels.collect([MLP], tmp_path, "3.12")] == ["my_net-1.2-py3-none-any.whl"]
    assert asked == ["download"] if published == "wheel" else ["download", "wheel"]


def test_a_wheel_that_was_built_for_this_machine_alone_is_refused(tmp_path, monkeypatch):
    def pip(command, **_):
        if command[3] == "wheel":
            (tmp_path / "my_net-1.2-cp311-cp311-linux_x86_64.whl").write_bytes(b"x")
        return subprocess.CompletedProcess(command, int(command[3] == "download"), "", "ERROR: no")

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    with pytest.raises(FoldwiseError, match=r"my_net-1.2-cp311.* was built, which is for this machine alone"):
        wheels.collect([MLP], tmp_path, "3.12")


def test_licences_travel(tmp_path):
    for name, members in {
        "a_b-1-py3-none-any.whl": [
            "a/x.py",
            "a_b-1.dist-info/licenses/LICENSE",
            "a_b-1.dist-info/licenses/c/COPYING",
            "a/licenses/LICENSE-z",
            "a/licenses/x.py",
        ],
        "old-1-py3-none-any.whl": ["old-1.dist-info/LICENSE.txt", "old-1.dist-info/METADATA"],
        "bare-1-py3-none-any.whl": ["bare-1.dist-info/METADATA", "bare/licence_plates.py"],
    }.items():
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            for member in members:
                wheel.writestr(member, f"text of {member}")
    wheels.write_licences(sorted(tmp_path.glob("*.whl")), tmp_path / "licences", {"bare": "BSD-3-Clause"})
    texts = {str(p.relative_to(tmp_path / "licences")): p.read_text() for p in (tmp_path / "licences").glob("*/*")}
    assert texts == {
        "a_b/LICENSE": "text of a_b-1.dist-info/licenses/LICENSE",
        "a_b/c_COPYING": "text of a_b-1.dist-info/licenses/c/COPYING",
        "a_b/LICENSE-z": "text of a/licenses/LICENSE-z",
        "old/LICENSE.txt": "text of old-1.dist-info/LICENSE.txt",
        "bare/LICENCE.txt": "bare-1-py3-none-any.whl carries no licence text. Its licence: BSD-3-Clause.\n",
    }


@pytest.mark.slow
def test_the_wheel_of_foldwise_is_built_offline_and_holds_the_yamls(tmp_path):
    path = own_wheel(tmp_path)
    names = zipfile.ZipFile(path).namelist()
    assert path.name == f"foldwise-{metadata.version('foldwise')}-py3-none-any.whl"
    assert {"foldwise/kaggle/image.yaml", "foldwise/conf/config.yaml", "foldwise/models/pretrained/zoo.csv"} <= {*names}
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_an_installed_package_is_packed_again(tmp_path):
    path = repacked("hydra-core", tmp_path)
    assert path.name == f"hydra_core-{metadata.version('hydra-core')}-py3-none-any.whl"
    installed = tmp_path / "installed"
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", "--target", str(installed)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(path)], check=True)
    original = metadata.distribution("hydra-core").locate_file("hydra/core/utils.py")
    assert (installed / "hydra" / "core" / "utils.py").read_bytes() == original.read_bytes()


def test_an_editable_installation_cannot_be_packed_again(tmp_path):
    with pytest.raises(FoldwiseError, match="foldwise: its files are not recorded"):
        repacked("foldwise", tmp_path)
