"""Names that lead out of a folder, in ids, settings and bundles: refused, and nothing is read or written there."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.malformed import Case, check

PREPARE = "prepare competition=faces source=kaggle"
GREY = cv2.imencode(".png", np.full((4, 4), 200, np.uint8))[1].tobytes()


def raw(root, first="a"):
    """Write a competition of two images, the id of the first of which is `first`, and an image outside of it."""
    folder = root / "data" / "raw" / "faces"
    for path in (folder / "images" / "a.png", folder / "images" / "b.png", folder / "images" / "t.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(GREY)
    (root / "secret").mkdir()
    (root / "secret" / "x.png").write_bytes(GREY)
    (root / "secret" / "train.csv").write_text("id,is_face\na,0\nb,1\n")
    pd.DataFrame({"id": [first, "b"], "is_face": [0, 1]}).to_csv(folder / "train.csv", index=False)
    pd.DataFrame({"id": ["t"], "is_face": 0.5}).to_csv(folder / "sample_submission.csv", index=False)
    return folder


def bundle(root, **files):
    """Write the parts of a bundle that are read first; each may be another one."""
    folder = root / "bundle"
    (folder / "data").mkdir(parents=True)
    usual = {
        "bundle.json": json.dumps({"blend": "faces_0.1", "fits": {"mlp-0123456789ab": [0]}}),
        "blend.json": json.dumps({"members": [{"run": "mlp-0123456789ab"}], "split_key": "x"}),
        "competition.yaml": "name: faces\nreader: folder\noptions: {}\n",
    }
    for name, text in (usual | {name.replace("_", "."): text for name, text in files.items()}).items():
        (folder / name).write_text(text)


def id_case(what, id_):
    """A row of the table whose first id leads out of the raw folder."""
    return Case(
        f"id: {what}",
        lambda root: raw(root, id_.replace("{root}", str(root))),
        PREPARE,
        f"error: train.csv, row 1: no image of '{id_}' in images",
    )


def option_case(option, value, shown=None):
    """A row of the table of an option that names a file outside of the raw folder."""
    return Case(
        f"option: {option}={value}",
        raw,
        f"{PREPARE} competition.options.{option}={value}",
        f"error: competition.options.{option}={shown or value}: expected a name in the raw folder, which this leads "
        "out of; put the files there, or a link to them",
        2,
    )


def name_case(key, value, command="prepare source=kaggle"):
    """A row of the table of a setting that becomes a part of a path."""
    return Case(
        f"setting: {key}={value}",
        raw,
        f"{command} {key}={value}",
        f"error: {key}={value.strip('[]')}: expected the name of a folder: no slash, and no dot at its beginning",
        2,
    )


def bundle_case(what, message, **files):
    """A row of the table of a bundle that was changed."""
    return Case(f"bundle: {what}", lambda root: bundle(root, **files), PREDICT, message)


PREDICT = "predict bundle={root}/bundle images={root}"
AGAIN = "; copy the bundle again"
CASES = [
    id_case("../../../../secret/x", "../../../../secret/x"),
    id_case("../../../../secret/x.png", "../../../../secret/x.png"),
    id_case("an absolute path", "{root}/secret/x.png"),
    id_case("images/../../../../secret/x", "images/../../../../secret/x"),
    id_case("..", ".."),
    id_case("a backslash", "..\\..\\..\\..\\secret\\x".replace("\\", "/")),
    option_case("labels", "../../../secret/train.csv"),
    option_case("labels", "{root}/secret/train.csv"),
    option_case("images", "../../../secret"),
    option_case("images", "[images,../../../secret]", "../../../secret"),
    option_case("test_images", "{root}/secret"),
    option_case("sample", "../../../secret/train.csv"),
    option_case("test", "../../../secret/train.csv"),
    option_case("join", "[../../../secret/train.csv,id]", "../../../secret/train.csv"),
    name_case("competition.name", "../../.."),
    name_case("competition.name", ".."),
    name_case("competition.name", "/tmp/x"),
    name_case("competition.name", ".hidden"),
    name_case("competition.slug", "../x", "download competition=faces"),
    Case(
        "setting: pseudo.runs=[../../x]",
        raw,
        "train competition=faces source=kaggle pseudo.runs=[../../x]",
        "error: pseudo.runs.0=../../x: expected the name of a folder: no slash, and no dot at its beginning",
        2,
    ),
    Case(
        "setting: imports.name=../x",
        raw,
        "import competition=faces source=kaggle name=../x oof=a.csv test=b.csv",
        "error: imports.name=../x: ",
        2,
    ),
    bundle_case(
        "a blend named ../../x",
        f"bundle.json: not as `foldwise bundle` wrote it (blend='../../x': expected a name without a slash){AGAIN}",
        bundle_json=json.dumps({"blend": "../../x", "fits": {}}),
    ),
    bundle_case(
        "a run named ../../x",
        "error: the blend has the run '../../x'; expected the name of a folder: make the blend again",
        blend_json=json.dumps({"members": [{"run": "../../x"}]}),
    ),
    bundle_case(
        "a competition named ../../x",
        "competition.yaml: not as `foldwise bundle` wrote it (name=../../x: expected the name of a folder: no slash, "
        f"and no dot at its beginning){AGAIN}",
        competition_yaml="name: ../../x\nreader: folder\n",
    ),
    bundle_case(
        "a YAML that builds objects",
        "competition.yaml: not as `foldwise bundle` wrote it (could not determine a constructor for the tag",
        competition_yaml="name: !!python/object/apply:os.system [true]\n",
    ),
    bundle_case(
        "a YAML that is cut off",
        "competition.yaml: not as `foldwise bundle` wrote it (",
        competition_yaml="name: [",
    ),
    bundle_case(
        "a JSON that is cut off",
        "bundle.json: not as `foldwise bundle` wrote it (Expecting value: line 1 column 1 (char 0)); copy "
        "the bundle again",
        bundle_json="",
    ),
    bundle_case(
        "a JSON that is a list",
        "blend.json: not as `foldwise bundle` wrote it (a list in place of keys and values); copy the bundle again",
        blend_json="[]",
    ),
    bundle_case(
        "a JSON 100,000 deep",
        "blend.json: not as `foldwise bundle` wrote it (maximum recursion depth exceeded",
        blend_json="[" * 100_000,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_read_or_written_outside(case, tmp_path, capsys):
    check(case._replace(message=case.message.replace("{root}", str(tmp_path / "root"))), tmp_path, capsys)
