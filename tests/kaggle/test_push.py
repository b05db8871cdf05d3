"""Bundles that go to Kaggle: the requests that the real client sends, and what Kaggle may refuse."""

import json
from pathlib import Path

import pytest
from helpers.kaggle_server import KEY, USER, KaggleServer, Refusal

from foldwise.errors import FoldwiseError
from foldwise.kaggle import push
from foldwise.kaggle.notebook import write_metadata, write_notebook, write_script

DATASET, KERNEL = f"{USER}/foldwise-faces", f"{USER}/foldwise-faces-predict"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small bundle, as far as the client cares."""
    monkeypatch.setattr(push, "POLL_SECONDS", 0.01)
    path = tmp_path / "bundles" / "faces_0.5_ab"
    for name, text in {"bundle.json": "{}", "runs/mlp-1/recipe.yaml": "a: 1", "wheels/x.whl": "w"}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    write_script(path)
    write_notebook(path, "faces")
    write_metadata(path, "foldwise-faces", USER, "faces-of-kaggle", True)
    return path


def test_the_owner_is_the_user_whom_the_client_knows(server: KaggleServer) -> None:
    assert push.owner() == USER


def test_a_stranger_has_no_name(stranger: KaggleServer) -> None:
    with pytest.raises(FoldwiseError, match="no Kaggle credentials"):
        push.owner()


@pytest.mark.slow
def test_a_bundle_becomes_a_dataset_and_a_notebook_then_a_new_version_of_both(
    server: KaggleServer, folder: Path
) -> None:
    server.shelf.unready = 2
    pushed = push.push(folder, "faces_0.5_ab")
    after_creation = server.names[server.names.index("CreateDataset") + 1 :]
    assert [name for name in after_creation if "Introspect" not in name] == ["GetDatasetStatus"] * 3 + ["SaveKernel"]
    assert pushed == {
        "dataset": DATASET,
        "kernel": KERNEL,
        "version": 1,
        "url": f"https://www.kaggle.com/code/{KERNEL}",
    }
    ((files,),) = server.shelf.datasets.values()
    metadata = {"dataset-metadata.json", "kernel-metadata.json"}  # the client keeps these to itself
    assert {*files} == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - metadata
    assert files["runs/mlp-1/recipe.yaml"] == b"a: 1"
    created = next(body for name, body in server.received if name == "CreateDataset")
    assert {key: created[key] for key in ("ownerSlug", "slug", "title", "licenseName", "isPrivate")} == {
        "ownerSlug": USER,
        "slug": "foldwise-faces",
        "title": "foldwise faces",
        "licenseName": "other",
        "isPrivate": True,
    }
    (notebook,) = server.shelf.notebooks
    text = notebook.pop("text")
    assert notebook == {
        "slug": KERNEL,
        "newTitle": "foldwise faces predict",
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableGpu": True,
        "enableTpu": False,
        "enableInternet": False,
        "datasetDataSources": [DATASET],
        "competitionDataSources": ["faces-of-kaggle"],
    }
    assert [cell["source"] for cell in json.loads(text)["cells"]][2] == "main()"
    assert push.push(folder, "faces_0.5_ab")["version"] == 2
    version = next(body for name, body in server.received if name == "CreateDatasetVersion")
    assert version["body"]["versionNotes"] == "faces_0.5_ab"
    assert len(server.shelf.datasets[DATASET]) == 2
    assert KEY not in json.dumps([body for name, body in server.received if name != "upload"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ({"refused": "Title is already in use"}, r"did not take the dataset .*\n.*Title is already in use"),
        ({"verdict": "FAILED"}, "could not unpack the dataset alice/foldwise-faces: its status is failed"),
        ({"notebook_problems": {"error": "Maximum batch GPU session count"}}, r"did not take the .*\n.*Maximum batch"),
        (
            {"notebook_problems": {"invalidCompetitionSources": ["faces-of-kaggle"]}},
            "pushed without its competition source .*faces-of-kaggle.*accept the rules",
        ),
    ],
    ids=["dataset refused", "not unpacked", "notebook refused", "source refused"],
)
def test_what_kaggle_refuses_is_shown(server: KaggleServer, folder: Path, problem, expected) -> None:
    for name, value in problem.items():
        setattr(server.shelf, name, value)
    with pytest.raises(FoldwiseError, match=expected):
        push.push(folder, "m")


def test_a_dataset_that_is_never_ready_ends_the_wait(server: KaggleServer, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(push, "READY_SECONDS", 0.0)
    server.shelf.unready = 1000
    with pytest.raises(FoldwiseError, match=r"not ready after 0 s \(status: blobs_received\)"):
        push.push(folder, "m")
    assert server.shelf.notebooks == []


def test_an_upload_that_fails_creates_nothing(server: KaggleServer, folder: Path) -> None:
    server.upload_status = 403
    with pytest.raises(FoldwiseError):
        push.push(folder, "m")
    assert server.shelf.datasets == {}


def test_refused_credentials_are_named(server: KaggleServer, folder: Path) -> None:
    server.refusals["StartBlobUpload"] = Refusal(401, "Unauthenticated")
    with pytest.raises(FoldwiseError, match="401"):
        push.push(folder, "m")
