"""What the local Kaggle answers about datasets and notebooks, as kaggle 2.2.5 asks."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any]]
NOT_FOUND = 404, {"code": 404, "message": "Not found"}


@dataclass
class Shelf:
    """The datasets and notebooks of a user.

    unready: times that the status of a new version is not READY yet; verdict: the status after that.
    notebook_problems: fields of the answer to a pushed notebook, such as error or invalidDatasetSources.
    """

    datasets: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)  # OWNER/NAME: files of each version
    notebooks: list[dict[str, Any]] = field(default_factory=list)  # bodies of what was pushed
    unready: int = 1
    verdict: str = "READY"
    refused: str = ""  # the error of a dataset that is not taken
    notebook_problems: dict[str, Any] = field(default_factory=dict)
    waits: int = 0

    def create_dataset(self, body: dict[str, Any], uploads: dict[str, tuple[str, bytes]]) -> Answer:
        return self._version(f"{body['ownerSlug']}/{body['slug']}", body, uploads)

    def create_version(self, body: dict[str, Any], uploads: dict[str, tuple[str, bytes]]) -> Answer:
        name = f"{body['ownerSlug']}/{body['datasetSlug']}"
        return self._version(name, body["body"], uploads) if name in self.datasets else NOT_FOUND

    def status(self, body: dict[str, Any], _: object) -> Answer:
        if f"{body['ownerSlug']}/{body['datasetSlug']}" not in self.datasets:
            return NOT_FOUND
        self.waits -= 1
        return 200, {"status": "BLOBS_RECEIVED" if self.waits >= 0 else self.verdict}

    def start_upload(self, body: dict[str, Any], uploads: dict[str, tuple[str, bytes]]) -> Answer:
        token = f"blob-{len(uploads)}"
        uploads[token] = (body["name"], b"")
        return 200, {"token": token, "createUrl": f"http://localhost/upload/{token}"}

    def save_kernel(self, body: dict[str, Any], _: object) -> Answer:
        self.notebooks.append(body)
        slug = body["slug"]
        about = {"ref": f"/code/{slug}", "url": f"https://www.kaggle.com/code/{slug}"}
        return 200, about | {"versionNumber": len(self.notebooks)} | self.notebook_problems

    def _version(self, name: str, body: dict[str, Any], uploads: dict[str, tuple[str, bytes]]) -> Answer:
        if self.refused:
            return 200, {"status": "error", "error": self.refused}
        files = dict(uploads[one["token"]] for one in body["files"])
        self.datasets.setdefault(name, []).append(unpacked(files))
        self.waits = self.unready
        return 200, {"ref": name, "url": f"https://www.kaggle.com/datasets/{name}", "status": "ok", "error": ""}


def unpacked(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a dataset as a notebook sees them: an archive is a folder of its name."""
    found: dict[str, bytes] = {}
    for name, data in files.items():
        if not name.endswith(".zip"):
            found[name] = data
            continue
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for one in archive.namelist():
                if not one.endswith("/"):
                    found[f"{name.removesuffix('.zip')}/{one}"] = archive.read(one)
    return found


CALLS: dict[str, Callable[[Shelf, dict[str, Any], Any], Answer]] = {
    "datasets.DatasetApiService/CreateDataset": Shelf.create_dataset,
    "datasets.DatasetApiService/CreateDatasetVersion": Shelf.create_version,
    "datasets.DatasetApiService/GetDatasetStatus": Shelf.status,
    "blobs.BlobApiService/StartBlobUpload": Shelf.start_upload,
    "kernels.KernelsApiService/SaveKernel": Shelf.save_kernel,
}
