"""Any image competition that is a folder of images and a CSV of labels; it needs a YAML and no code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from foldwise.competitions.folder import faces, long_form, new_samples, tables
from foldwise.competitions.folder.image_rules import Broken, Channels, Depth, Fit, ImageRules, Pages
from foldwise.competitions.folder.labels import encode, learnable
from foldwise.competitions.folder.layout import Layout, lay_out
from foldwise.competitions.folder.rows import (
    NO_TEST,
    Join,
    check_inside,
    has_no_test,
    labelled_rows,
    test_rows,
    training_rows,
)
from foldwise.competitions.folder.samples import find_samples, records_of
from foldwise.data.records import Records
from foldwise.data.structure import Structure
from foldwise.errors import ConfigError
from foldwise.settings import ONE_CLASS, Task
from foldwise.storage import size_in_bytes

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

VERSION = 2
SOURCES: dict[str, Callable[..., None]] = {"embedded": faces.write}
read_new = new_samples.read_new

Side = Annotated[int, Field(ge=1)]
Name = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]
Form = Literal["auto", "one_hot", "long", "folders"]
Folders = str | tuple[str, ...]


def read(
    raw_dir: Path,
    *,
    task: Task = "binary",
    labels: str | None = "train.csv",
    sample: str = "sample_submission.csv",
    images: Folders = "images",
    test_images: Folders | None = None,
    id_column: str = "id",
    label_columns: tuple[Name, ...] = ("label",),
    classes: tuple[Name, ...] | None = None,
    group_column: str | None = None,
    auxiliary: tuple[str, ...] = (),
    side: Side | None = None,
    channels: Channels = "as_is",
    label_form: Form = "auto",
    separator: str | None = None,
    empty_label: str | None = None,
    test: str = "test.csv",
    join: Join | None = None,
    group_pattern: str | None = None,
    weight_column: str | None = None,
    categories: tuple[str, ...] = (),
    image_columns: tuple[str, ...] = (),
    crop_columns: tuple[str, str, str, str] | None = None,
    kept_columns: tuple[str, ...] = (),
    train_prefix: str = "",
    size: tuple[Side, Side] | None = None,
    fit: Fit = "stretch",
    depth: Depth | None = None,
    pages: Pages | None = None,
    slices: int | None = None,
    upright: bool = True,
    window: tuple[float, float] | Literal["file"] | None = None,
    draft: bool = False,
    broken: Broken = "refuse",
    max_decoded: Name | None = None,
) -> Records:
    """Read images named by the ids of a CSV; the test ids are those of the sample submission.

    CSV files may have any usual encoding, separator and line ends; blanks around cells do not count.

    task: binary (one 0/1 column, or one column with two `classes`, the second being the positive one),
        multiclass (one column of class names, or a 0/1 column for each class with one 1 in a row), ordinal (the same,
        with the classes in order), multilabel (several 0/1 columns) or regression (columns of numbers).
    labels, sample: CSV files in the raw folder. labels=null: the label is the name of an image's folder.
    images, test_images: folders in the raw folder (test_images: the same by default). An id is the file's name with or
        without its suffix.
    classes: the class names in order; by default the values of the label column, numbers by value and names as text.
        A class that no training row has gets the probability 0.
    group_column: rows that share this column's value stay in one fold.
    auxiliary: numeric columns of the labels file and, for test rows, of `test`, for models that take them.
    side: resize to side x side pixels (area averaging); by default all images must have one size.
    channels: grey (1), colour (3, RGB), as the file has them, or auto: as most of the files have them.

    label_form: auto, one_hot (a column for each class of one label), long (a row for each image and label, `ID_LABEL`)
        or folders (the label is the name of the folder).
    separator: of several labels in one cell; with label_form=long what separates image and label in an id ("_").
    empty_label: what a cell says that lists no label, such as healthy; None: each cell must list one.
    test: a table with the columns of test rows, read where they are needed; "none": there is no test set. There is none
        either where the raw folder has neither this table nor the sample, and all images have labels.
    join: a second table and its column of ids, which gives the columns that the labels file lacks.
    group_pattern: a regular expression that finds the group in the id, or in the group column: its first bracket.
    weight_column: positive weights of the training rows in the loss.
    categories: columns of names for models that take them, stored as numbers from 1.
    image_columns: columns that name the image files; several are views of one sample. By default the id names it.
    crop_columns: left, top, width and height in pixels of the part of the image that is kept.
    kept_columns: columns of the sample submission whose values a submission keeps.
    train_prefix: put before the ids of training rows, where test rows have the same ones; the files have none.
    size: height and width to resize to.
    fit: stretch, pad (with zeros) or crop (the middle) where the proportions differ.
    depth: 8, 16 or float: bits of all pixels; by default those of the files.
    pages: first, all (as views) or an index, of files with several pages and of folders of slices (a DICOM series),
        whose id is the name of the folder; by default those are refused.
    slices: in place of pages: as many of them, evenly spaced, as views.
    upright: turn photos as their EXIF orientation says.
    window: centre and width of the values of a DICOM that are kept, or "file": as the file has them.
    draft: decode JPEGs at a part of their size where that suffices: faster, with slightly other values.
    broken: refuse, skip (test images are then blank) or blank images that cannot be decoded.
    max_decoded: size that an image may take in memory when decoded, such as 2GB; by default 200 times its file, but
        128 MB at least.

    Images are uint8, or float32 where the files have 16 bits.
    """
    if side is not None and size is not None:
        raise ConfigError(f"competition.options.side={side} and size={list(size)}: set one of them")
    if slices is not None and (slices < 1 or pages is not None):
        raise ConfigError(
            f"competition.options.slices={slices}: expected at least 1"
            if pages is None
            else f"competition.options.pages={pages} and slices={slices}: set one of them"
        )
    check_inside(
        {"labels": labels, "sample": sample, "test": test, "join": join, "images": images, "test_images": test_images}
    )
    shared = [*auxiliary, *categories, *image_columns, *(crop_columns or ())]
    own = [column for column in (group_column, weight_column) if column]
    folders = [images] if isinstance(images, str) else list(images)

    labelled, columns, name = labelled_rows(
        raw_dir, labels, label_form, id_column, label_columns, classes, separator, folders, task
    )
    train = training_rows(raw_dir, name, id_column, own, shared, join, labelled)
    learned = learnable(encode(train, task, columns, classes, name, separator, empty_label), task, name)
    extra: dict[str, Any] = dict(zip(learned.targets, learned.values.T, strict=True))
    if (groups := tables.groups(train, group_column, group_pattern, name)) is not None:
        extra["group"] = groups.tolist()
    if weight_column:
        extra["weight"] = tables.weights(train, weight_column, name)
    series, n_train = slices is not None or pages is not None, len(train)
    if test != NO_TEST and test_images is None and has_no_test(raw_dir, sample, test, folders, n_train, series):
        log.warning(
            "%s holds neither %s nor %s, and no image without a label: there is no test set, as with test: %s",
            raw_dir,
            sample,
            test,
            NO_TEST,
        )
        test = NO_TEST
    test_table = train[:0]
    if test != NO_TEST:
        from_join = [column for column in shared if column not in labelled] if join else []
        test_table = test_rows(
            raw_dir,
            sample,
            test,
            id_column,
            shared,
            join,
            from_join,
            train_prefix + train[tables.ID],
            learned.targets if task in long_form.TASKS else (),
            separator,
        )
    train_side, test_side, names = tables.side_columns(train, test_table, auxiliary, categories, name, sample)

    rules = ImageRules(
        channels,
        depth,
        (side, side) if side else size,
        fit,
        pages,
        slices,
        upright,
        window,
        broken,
        draft,
        size_in_bytes("competition.options.max_decoded", max_decoded),
    )
    where = test_images or images
    of_train = find_samples(raw_dir, images, train, extra | train_side, image_columns, crop_columns, name, train_prefix)
    hidden = f"where the test images are hidden, set competition.options.test={NO_TEST}"
    of_test = find_samples(raw_dir, where, test_table, test_side, image_columns, crop_columns, sample, advice=hidden)
    return Records(
        task,
        learned.targets,
        *records_of(rules, of_train, of_test),
        list(auxiliary),
        None if test == NO_TEST else raw_dir / sample,
        structure=Structure(categories={column: len(names[column]) for column in categories}),
        test_ids=test_table[tables.ID].tolist(),
        category_names=names,
        ordered=learned.ordered,
    )


def submission(
    predictions: pd.DataFrame,
    sample: pd.DataFrame,
    /,
    task: Task | None = None,
    classes: tuple[str, ...] | None = None,
    separator: str | None = None,
    empty_label: str | None = None,
    kept_columns: tuple[str, ...] = (),
    **options: Any,
) -> pd.DataFrame:
    """Lay the predictions (id, a column for each target) out as the sample submission does; see `layout.lay_out`.

    Raises FoldwiseError if the sample asks for what predictions cannot answer.
    """
    name = options.get("sample", "sample_submission.csv")
    return lay_out(predictions, sample, Layout(name, task, classes, separator, empty_label, kept_columns))


def truth(
    solution: pd.DataFrame,
    targets: list[str],
    task: Task = "binary",
    label_columns: tuple[str, ...] = ("label",),
    classes: tuple[str, ...] | None = None,
    label_form: Form = "auto",
    separator: str | None = None,
    empty_label: str | None = None,
    **options: Any,
) -> np.ndarray:
    """Return the true labels (n, k) of `solution.csv`, which is laid out like the labels file.

    A solution of labels in long form has a row for each image and a column for each label.
    """
    names_are_targets = task in ONE_CLASS or (separator is not None and task == "multilabel")
    classes = tuple(targets) if names_are_targets else classes
    columns = targets if label_form == "long" or len(label_columns) > 1 else label_columns
    text = solution.astype(str)
    return encode(text, task, columns, classes, "solution.csv", separator, empty_label).values.astype(np.float64)
