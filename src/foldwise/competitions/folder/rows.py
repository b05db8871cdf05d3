"""The rows of a folder competition: from the labels file or the class folders, a second table and the sample."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from foldwise.competitions.folder import long_form
from foldwise.competitions.folder.find_images import ids_of_images
from foldwise.competitions.folder.tables import ID, check_ids, read_table, refuse_rows
from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.settings import ONE_CLASS
from foldwise.storage import check_is_file, is_foreign, own_files

if TYPE_CHECKING:
    import pandas as pd

NO_TEST = "none"
Join = tuple[str, str]  # a file and the column of its ids


def check_inside(options: Mapping[str, Any]) -> None:
    """Raise ConfigError where an option names a file or a folder outside the raw folder.

    Only what lies in there decides the data key, and nothing else may be read by a YAML of somebody else.
    """
    for option in ("labels", "sample", "test", "join", "images", "test_images"):
        given = options[option]
        names = given[:1] if option == "join" and given else [given] if isinstance(given, str) else given or ()
        for name in names:
            path = PurePath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ConfigError(
                    f"competition.options.{option}={name}: expected a name in the raw folder, which this leads out of; "
                    "put the files there, or a link to them"
                )


def training_rows(
    raw_dir: Path,
    name: str,
    id_column: str,
    own: Sequence[str],
    shared: Sequence[str],
    join: Join | None,
    labelled: pd.DataFrame,
) -> pd.DataFrame:
    """Return the labelled rows with the columns that they need, and their ids in the column `ID`.

    own, shared: columns of the training rows alone, and of all rows; those that the labels file lacks are looked for
        in the second table.
    """
    wanted = list(dict.fromkeys([*own, *shared]))
    table = labelled.assign(**{ID: labelled[id_column]})
    absent = [column for column in wanted if column not in labelled]
    if absent and join is None:
        raise FoldwiseError(
            f"{name}: the column {absent[0]!r} is missing; {choices(absent[0], labelled.columns)}; a column of another "
            "table needs competition.options.join=[FILE,ITS_ID_COLUMN]"
        )
    if table[ID].duplicated().any() and long_form.looks_long(table[ID]):
        raise FoldwiseError(
            f"{name}: ids such as {table[ID].iloc[0]!r} have an image and a label; a row for each image and label "
            "needs competition.options.label_form=long and competition.options.task=multilabel"
        )
    check_ids(table, name, "train")
    return table if join is None or not absent else joined(table, absent, raw_dir / join[0], join[1], name)


def labelled_rows(
    raw_dir: Path,
    labels: str | None,
    label_form: str,
    id_column: str,
    label_columns: Sequence[str],
    classes: Sequence[str] | None,
    separator: str | None,
    images: Sequence[str],
    task: str,
) -> tuple[pd.DataFrame, list[str], str]:
    """Return the rows of the labels file or of the class folders, their label columns, and the name for messages."""
    columns = list(label_columns)
    if label_form == "folders" or labels is None:
        if label_form not in ("auto", "folders") or len(columns) > 1:
            raise ConfigError(
                f"competition.options.labels=null: the label is the name of the folder; expected label_form=folders "
                f"and one of label_columns, received {label_form} and {', '.join(columns)}"
            )
        return class_folders(raw_dir, images, id_column, columns[0]), columns, ", ".join(images)
    if label_form == "one_hot" and (task not in ONE_CLASS or len(columns) < 2):
        raise ConfigError(
            f"competition.options.label_form=one_hot: expected task=multiclass and a column for each class in "
            f"label_columns, received task={task} and {', '.join(columns)}"
        )
    if label_form == "long":
        long_form.check_options(task, columns)
    table = read_table(raw_dir / labels, [id_column, *columns])
    if label_form == "long":
        table, columns = long_form.widen(
            table, id_column, columns[0], classes, separator or long_form.SEPARATOR, labels, task
        )
    return table, columns, labels


def has_no_test(raw_dir: Path, sample: str, test: str, images: Sequence[str], n_train: int, series: bool) -> bool:
    """Tell whether nothing in the raw folder is about a test set, not even an archive or an image without a label.

    images: folders of the training images; n_train: the number of training rows; series: see `ids_of_images`.
    """
    if (raw_dir / sample).exists() or (raw_dir / test).exists():
        return False
    about_test = re.compile(r"test|sample|submission|solution|\.(zip|7z|tar|gz|tgz|rar)$", re.IGNORECASE)
    if any(about_test.search(path.name) for path in raw_dir.iterdir()):
        return False
    folders = [raw_dir / name for name in images]
    return (
        all(path.is_dir() for path in folders) and sum(len(ids_of_images(path, series)) for path in folders) <= n_train
    )


def test_rows(
    raw_dir: Path,
    sample: str,
    test: str,
    id_column: str,
    shared: Sequence[str],
    join: Join | None,
    from_join: Sequence[str],
    train_ids: pd.Series,
    targets: Sequence[str],
    separator: str | None,
) -> pd.DataFrame:
    """Return a row for each test sample: the ids of the sample submission and the columns that all rows have.

    from_join: those of the shared columns that the second table gives; the others are in the table `test`.
    targets: of which a sample may have a row for each image.
    """
    check_is_file(raw_dir / sample)
    if not (raw_dir / sample).is_file() and raw_dir.is_dir():
        held = sorted(path.name for path in raw_dir.iterdir() if not is_foreign(Path(path.name)))
        raise FoldwiseError(
            f"{raw_dir / sample} is missing; the folder holds {', '.join(held[:8])}. competition.options.sample "
            f"names the sample submission; where there is no test set, set competition.options.test={NO_TEST}"
        )
    try:
        given = read_table(raw_dir / sample)
    except FoldwiseError as error:
        if "no row below" not in str(error):
            raise
        raise FoldwiseError(
            f"{error}; a competition whose test images are hidden needs competition.options.test={NO_TEST}"
        ) from None
    ids, between = given.iloc[:, 0], separator or long_form.SEPARATOR
    if long_form.is_long(given, targets, between):
        check_ids(given.assign(**{ID: ids}), sample, "test")
        ids = long_form.split_ids(ids, targets, between, sample)[0].drop_duplicates()
    table = ids.to_frame(ID)
    check_ids(table, sample, "test", train_ids)
    from_test = [column for column in shared if column not in from_join]
    if from_test:
        table = with_columns(table, from_test, raw_dir / test, id_column, sample)
    if from_join and join is not None:
        table = joined(table, from_join, raw_dir / join[0], join[1], sample)
    return table


def joined(table: pd.DataFrame, columns: Sequence[str], path: Path, key: str, name: str) -> pd.DataFrame:
    """Add columns of a second table, found by the id, its last part, or that without a suffix.

    Raises FoldwiseError where the second table lacks a column or an id, or has an id twice.
    """
    second = read_table(path, [key, *columns])
    known = set(second[key])
    forms = (table[ID], table[ID].str.replace(r"^.*[/\\]", "", regex=True))
    forms = (*forms, *(form.str.replace(r"\.[A-Za-z0-9]{1,5}$", "", regex=True) for form in forms))
    wanted = max(forms, key=lambda form: int(form.isin(known).sum()))
    refuse_rows(
        table,
        ~wanted.isin(known),
        name,
        lambda row: (
            f"{wanted.iloc[row]!r} is not in {path.name}, which gives {', '.join(columns)}; "
            f"its {key} are {', '.join(map(repr, second[key][:3]))}, ..."
        ),
    )
    used = second[second[key].isin(set(wanted))]
    used = used.drop_duplicates([key, *columns])
    refuse_rows(
        used,
        used[key].duplicated(),
        path.name,
        lambda row: f"duplicate {key} {used[key].iloc[row]!r}, with another {' or '.join(columns)}",
    )
    found = used.set_index(key).loc[wanted, list(columns)]
    return table.assign(**{column: found[column].to_numpy() for column in columns})


def with_columns(table: pd.DataFrame, columns: Sequence[str], path: Path, id_column: str, name: str) -> pd.DataFrame:
    """Add columns of the table of test rows to the rows of the sample submission.

    Raises FoldwiseError where it has an id twice or lacks one.
    """
    extra = read_table(path, [id_column, *columns])
    twice = extra[id_column][extra[id_column].duplicated()]
    if len(twice):
        raise FoldwiseError(f"{path.name}: duplicate id {twice.iloc[0]!r}; ids must be unique ({len(twice)} are not)")
    extra = extra.set_index(id_column)
    refuse_rows(
        table,
        ~table[ID].isin(extra.index),
        name,
        lambda row: f"{table[ID].iloc[row]!r} is not in {path.name}, which gives {', '.join(columns)}",
    )
    found = extra.loc[table[ID], list(columns)]
    return table.assign(**{column: found[column].to_numpy() for column in columns})


def class_folders(raw_dir: Path, images: Sequence[str], id_column: str, label_column: str) -> pd.DataFrame:
    """Return a row for each file in a sub-folder of `images`; the first sub-folder's name is the class.

    An id is the file's path below `images`, such as `cat/1.jpg`.

    Raises FoldwiseError where there is no sub-folder with files.
    """
    import pandas as pd

    rows = []
    for folder in images:
        root = raw_dir / folder
        parts = (name.split("/") for name in sorted(name for name, _ in own_files(root)))
        rows += [("/".join(one), one[0]) for one in parts if len(one) > 1 and not one[-1].startswith(".")]
    if not rows:
        held = [path.name for path in sorted((raw_dir / images[0]).iterdir())[:8]]
        raise FoldwiseError(
            f"{raw_dir / images[0]}: expected a sub-folder of images for each class, since competition.options.labels "
            f"is null; it holds {', '.join(held) or 'nothing'}"
        )
    return pd.DataFrame(rows, columns=[id_column, label_column])
