"""The sample submission decides what is submitted: names, probabilities, joined or long; what cannot be is refused."""

import re
from typing import Any

import pandas as pd
import pytest

from foldwise.competitions.folder import reader
from foldwise.errors import FoldwiseError
from foldwise.runs import submission

ABC = {"ant": [0.5, 0.25], "bee": [0.25, 0.5], "cow": [0.25, 0.25]}
MULTICLASS = {"task": "multiclass"}
BINARY = {"task": "binary"}
JOINED = {"task": "multilabel", "separator": " "}
MULTILABEL = {"task": "multilabel"}


def laid_out(predictions: dict[str, list], sample: str, **options: Any) -> str:
    """The submission of two rows, u0 and u1; `sample` has their ids, rows being separated by blanks."""
    table = pd.DataFrame({"id": ["u0", "u1"]} | predictions)
    header, *rows = [line.split(",") for line in sample.split("/")]
    asked = pd.DataFrame(rows, columns=header)
    answer = reader.submission(table, asked, **options)
    submission.check(answer, asked)
    return answer.to_csv(index=False).removesuffix("\n").replace("\n", "/")


RIGHT: dict[str, tuple[dict[str, list], str, dict[str, Any], str]] = {
    "a probability": ({"y": [0.25, 0.75]}, "id,p/u0,0.5/u1,0.5", BINARY, "id,p/u0,0.25/u1,0.75"),
    "a probability of a sample of zeros": ({"y": [0.25, 0.75]}, "id,p/u0,0/u1,0", BINARY, "id,p/u0,0.25/u1,0.75"),
    "a name": (
        {"y": [0.25, 0.75]},
        "id,kind/u0,benign/u1,benign",
        BINARY | {"classes": ("benign", "malignant")},
        "id,kind/u0,benign/u1,malignant",
    ),
    "a class that is called NA": (
        {"y": [0.25, 0.75]},
        "id,kind/u0,NA/u1,NA",
        BINARY | {"classes": ("NA", "ok")},
        "id,kind/u0,NA/u1,ok",
    ),
    "a truth value": ({"y": [0.25, 0.75]}, "id,y/u0,False/u1,False", BINARY, "id,y/u0,False/u1,True"),
    "a small truth value": ({"y": [0.25, 0.75]}, "id,y/u0,true/u1,true", BINARY, "id,y/u0,false/u1,true"),
    "a column for each of two classes": (
        {"y": [0.25, 0.75]},
        "id,ship,berg/u0,0,0/u1,0,0",
        BINARY | {"classes": ("berg", "ship")},
        "id,ship,berg/u0,0.25,0.75/u1,0.75,0.25",
    ),
    "the likeliest class": (ABC, "id,kind/u0,ant/u1,ant", MULTICLASS, "id,kind/u0,ant/u1,bee"),
    "a number that is a class": (
        {"0": [0.5, 0.25], "1": [0.5, 0.75]},
        "id,y/u0,0/u1,0",
        MULTICLASS,
        "id,y/u0,0/u1,1",
    ),
    "the probability of one class": (ABC, "id,bee/u0,0.5/u1,0.5", MULTICLASS, "id,bee/u0,0.25/u1,0.5"),
    "columns in another order": (
        ABC,
        "id,cow,ant,bee/u0,0,0,0/u1,0,0,0",
        MULTICLASS,
        "id,cow,ant,bee/u0,0.25,0.5,0.25/u1,0.25,0.25,0.5",
    ),
    "a class without rows": (
        ABC,
        "id,ant,bee,cow,UNK/u0,0,0,0,0/u1,0,0,0,0",
        MULTICLASS | {"classes": ("ant", "bee", "cow", "UNK")},
        "id,ant,bee,cow,UNK/u0,0.5,0.25,0.25,0.0/u1,0.25,0.5,0.25,0.0",
    ),
    "a column that is kept": (
        ABC,
        "id,kind,note/u1,ant,x/u0,ant,y",
        MULTICLASS | {"kept_columns": ("note",)},
        "id,kind,note/u0,ant,y/u1,bee,x",
    ),
    "joined labels": (
        {"rust": [0.75, 0.25], "scab": [0.625, 0.375]},
        "id,labels/u0,healthy/u1,healthy",
        JOINED | {"empty_label": "healthy"},
        "id,labels/u0,rust scab/u1,healthy",
    ),
    "joined by a bar; the likeliest where none is above .5": (
        {"rust": [0.75, 0.25], "scab": [0.625, 0.375]},
        "id,labels/u0,rust/u1,rust",
        MULTILABEL | {"separator": "|"},
        "id,labels/u0,rust|scab/u1,scab",
    ),
    "long": (
        {"any": [0.5, 0.25], "sub_dural": [0.125, 0.75]},
        "ID,Label/u1_any,0/u1_sub_dural,0/u0_any,0/u0_sub_dural,0",
        MULTILABEL,
        "ID,Label/u0_any,0.5/u0_sub_dural,0.125/u1_any,0.25/u1_sub_dural,0.75",
    ),
    "ids that end as classes do": (
        {"0": [0.5, 0.25], "1": [0.5, 0.75]},
        "id,y/u0,0/u1,0",
        MULTICLASS | {"separator": "u"},
        "id,y/u0,0/u1,1",
    ),
    "several numbers": (
        {"x": [1.5, -2.0], "y": [10.0, 0.0]},
        "id,y,x/u0,0,0/u1,0,0",
        {"task": "regression"},
        "id,y,x/u0,10.0,1.5/u1,0.0,-2.0",
    ),
}


@pytest.mark.parametrize(("predictions", "sample", "options", "expected"), RIGHT.values(), ids=RIGHT)
def test_the_sample_decides(predictions: dict, sample: str, options: dict, expected: str) -> None:
    assert laid_out(predictions, sample, **options) == expected


WRONG: dict[str, tuple[dict[str, list], str, dict[str, Any], str]] = {
    "names without classes": (
        {"y": [0.25, 0.75]},
        "id,kind/u0,benign/u1,benign",
        BINARY,
        "the column 'kind' holds the name 'benign', which is no class; name both classes, as in "
        "competition.options.classes=[OTHER,benign]",
    ),
    "another name": (
        {"y": [0.25, 0.75]},
        "id,kind/u0,Benign/u1,Benign",
        BINARY | {"classes": ("benign", "malignant")},
        "holds the name 'Benign', which is no class; did you mean 'benign'?",
    ),
    "a class more": (
        ABC,
        "id,ant,bee,cow,UNK/u0,0,0,0,0/u1,0,0,0,0",
        MULTICLASS,
        "'UNK' has no training row: as a class, competition.options.classes=[ant,bee,cow,UNK] answers it with the "
        "probability 0; as a constant column, competition.options.kept_columns=[UNK] keeps the sample's values",
    ),
    "another spelling": (
        ABC,
        "id,ant,Bee,cow/u0,0,0,0/u1,0,0,0",
        MULTICLASS,
        "'Bee' and the label 'bee' are spelled in two ways",
    ),
    "another spelling of a name": (ABC, "id,kind/u0,Bee/u1,Bee", MULTICLASS, "holds 'Bee', the labels 'bee'"),
    "another name of a column": (
        ABC,
        "id,ant,bee,cat/u0,0,0,0/u1,0,0,0",
        MULTICLASS,
        "'cat' is none of them: ",
    ),
    "a class less": (ABC, "id,ant,bee/u0,0,0/u1,0,0", MULTICLASS, "no column asks for 'cow'"),
    "label and confidence": (
        ABC,
        "id,label,confidence/u0,ant,0/u1,ant,0",
        MULTICLASS,
        "competition.options.kept_columns=[confidence]",
    ),
    "one column for several labels": (
        {"a": [0.5, 0.5], "b": [0.5, 0.5]},
        "id,labels/u0,a/u1,a",
        MULTILABEL,
        "labels that are joined in one column need competition.options.separator",
    ),
    "a kept column that is not there": (
        ABC,
        "id,kind/u0,ant/u1,ant",
        MULTICLASS | {"kept_columns": ("kond",)},
        "sample_submission.csv has no column 'kond'; did you mean 'kind'?",
    ),
    "other ids": (ABC, "id,kind/u0,ant/u2,ant", MULTICLASS, "'u1' is 1 times in the submission and 0 times in the s"),
}


@pytest.mark.parametrize(("predictions", "sample", "options", "expected"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_answered_is_refused(predictions: dict, sample: str, options: dict, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        laid_out(predictions, sample, **options)


def test_names_in_a_column_of_numbers_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    assert laid_out(ABC, "id,kind/u0,0/u1,0", **MULTICLASS) == "id,kind/u0,ant/u1,bee"
    assert "the column 'kind' holds numbers, and will hold names of classes such as 'ant'" in caplog.text
