"""Checks of composed settings: errors name the key, the value and the valid choices."""

import re
import types
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from foldwise.config.advice import nearest
from foldwise.errors import ConfigError, choices
from foldwise.plugins import (
    competition_module,
    function_named,
    option_schema,
    public_functions,
    weights_named,
)
from foldwise.settings import Options, PseudoSettings, Settings, SourceSettings, SplitSettings, TrackerSettings, changed

PLAIN = re.compile(r"[\w.+-]+")  # a number or a word of the command line, which Hydra's grammar takes as it is


def check(values: dict[str, Any]) -> Settings:
    """Turn composed values into `Settings`, with every option filled in from its function's signature.

    Raises ConfigError, which names the key, the value and the valid choices.
    """
    settings: Settings = _validated(Settings, values, "")
    reader = competition_module(settings.competition.reader)
    settings.competition.options = checked_options(reader.read, settings.competition.options, "competition.options")
    if settings.source.kind == "kaggle":
        _refuse_source_options(settings.source)
    else:
        _check_generator(settings, reader)
    builder = function_named("models", settings.model.name, "model.name")
    settings.model.options = checked_options(builder, settings.model.options, "model.options")
    _check_finetune(settings)
    _check_snapshots(settings)
    augmentation = function_named("augment", settings.augment.name, "augment.name")
    settings.augment.options = checked_options(augmentation, settings.augment.options, "augment.options")
    if settings.augment.name == "transforms":
        from foldwise.augment.by_name import check_transforms  # albumentations takes a second

        check_transforms(settings.augment.options["transforms"])
    _check_pseudo(settings)
    _check_split(settings.split)
    _check_tracker(settings.tracker)
    method = function_named("blends", settings.ensemble.name, "ensemble.name")
    settings.ensemble.options = checked_options(method, settings.ensemble.options, "ensemble.options")
    return settings


def checked_options(function: Callable[..., Any], given: Options, prefix: str) -> Options:
    """Check `given` against the keyword-only arguments of `function`; return them with all defaults."""
    schema = option_schema(function)
    for name in given:
        _known_option(function, name, prefix)
    checked = {
        name: _validated(annotation, given[name], f"{prefix}.{name}") if name in given else default
        for name, (annotation, default) in schema.items()
    }
    if "backbone_options" in schema:
        builder = _backbone(checked["backbone"], f"{prefix}.backbone")
        inner = checked["backbone_options"] or {}
        checked["backbone_options"] = checked_options(builder, inner, f"{prefix}.backbone_options")
    return checked


def generator(settings: Settings) -> tuple[Callable[..., None], Options]:
    """Return the function that writes the raw files of a simulated or embedded source, and its arguments."""
    reader = competition_module(settings.competition.reader)
    function: Callable[..., None] = reader.SOURCES[settings.source.kind]
    source = settings.source
    sizes = {"n_train": source.n_train, "n_test": source.n_test, "seed": source.seed}
    given = source.options | {name: value for name, value in sizes.items() if value is not None}
    return function, checked_options(function, given, "source")


def is_known(key: str) -> bool:
    """Tell whether `key` (dotted) can be set."""
    try:
        known_key(key)
    except ConfigError:
        return False
    return True


def known_key(key: str) -> Any:
    """Return the type of the setting `key` (dotted); None where it lies in `.options.`, of which each has others.

    Raises ConfigError unless it can be set.
    """
    schema: Any = Settings
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if depth and parts[depth - 1] == "options":
            return None
        names = [f.name for f in fields(schema)] if is_dataclass(schema) else []
        if part not in names:
            parent = ".".join(parts[:depth])
            raise ConfigError(f"{key}: no such setting{f' in {parent}' if parent else ''}; {nearest(part, names)}")
        schema = get_type_hints(schema, include_extras=True)[part]
    return schema


def check_plain(key: str, text: str) -> None:
    """Raise ConfigError where a number or a word is no valid value of the setting `key`.

    It needs no Hydra, whose import and composition take most of the time until an error; everything else that a
    value may be is checked after composition.
    """
    annotation = known_key(key)
    if annotation is None or is_dataclass(annotation) or not PLAIN.fullmatch(text):
        return
    _validated(annotation, None if text == "null" else text, key)


def function_of(group: str, name: str) -> Callable[..., Any] | None:
    """Return the function that `name` means in a group, whose arguments are the options; None where a group has none.

    Raises ConfigError where there is no such function.
    """
    rooms = {"model": "models", "augment": "augment", "ensemble": "blends"}
    if group == "competition":
        reader: Callable[..., Any] = competition_module(name).read
        return reader
    return function_named(rooms[group], name, f"{group}.name") if group in rooms else None


def check_option(group: str, name: str, option: str, text: str) -> None:
    """Raise ConfigError where the function `name` that a group of settings chooses has no such option, or value.

    option, text: as on the command line. Like `check_plain` it needs no Hydra, and judges numbers and words alone.
    """
    if (function := function_of(group, name)) is None:
        return
    schema, prefix = option_schema(function), f"{group}.options"
    _known_option(function, option.partition(".")[0], prefix)
    if option in schema and PLAIN.fullmatch(text):
        _validated(schema[option][0], _typed(text), f"{prefix}.{option}")


def _check_finetune(settings: Settings) -> None:
    """Raise ConfigError where the model, the epochs or the augmentation do not go with the fine-tuning."""
    finetune, options = settings.finetune, settings.model.options
    for key, weights in weights_named(options).items():
        from foldwise.models.pretrained.load import check_named

        check_named(weights, key)
    if "weights" not in options and finetune.mode != "none":
        builders = public_functions("models")
        pretrained = [name for name, builder in builders.items() if "weights" in option_schema(builder)]
        raise ConfigError(
            f"finetune={finetune.mode}: {settings.model.name} has no pretrained weights to tune; "
            f"{choices(settings.model.name, pretrained)}"
        )
    if finetune.mode in ("last_block", "all", "gradual") and finetune.head_epochs >= settings.fit.epochs:
        raise ConfigError(
            f"finetune.head_epochs={finetune.head_epochs}: expected fewer than fit.epochs={settings.fit.epochs}, of "
            "which they are the first"
        )
    if finetune.views > 1 and settings.augment.name == "none":
        raise ConfigError(
            f"finetune.views={finetune.views}: augment=none makes no views; choose augment=flips or another"
        )


def _check_snapshots(settings: Settings) -> None:
    """Raise ConfigError where the schedule or the epochs leave no cycles to take snapshots of."""
    fit, finetune = settings.fit, settings.finetune
    if fit.snapshots == 1:
        return
    if fit.schedule != "cosine":
        raise ConfigError(
            f"fit.snapshots={fit.snapshots}: a {fit.schedule} rate has no cycles; set fit.schedule=cosine"
        )
    if finetune.mode == "gradual":
        raise ConfigError(
            f"fit.snapshots={fit.snapshots}: finetune=gradual trains each stage with a schedule of its own; choose "
            "finetune=all, finetune=last_block or finetune=head"
        )
    head = finetune.head_epochs if finetune.mode in ("last_block", "all") else 0
    if fit.epochs - head < fit.snapshots or fit.warmup_epochs >= (fit.epochs - head) // fit.snapshots:
        raise ConfigError(
            f"fit.snapshots={fit.snapshots}: expected a cycle of an epoch at least, and longer than the warm-up; "
            f"fit.epochs={fit.epochs} with {head} of the head alone and fit.warmup_epochs={fit.warmup_epochs:g} make "
            f"cycles of {(fit.epochs - head) / fit.snapshots:g}"
        )


def _check_pseudo(settings: Settings) -> None:
    """Raise ConfigError where pseudo-labels lack the runs that give them, or runs the settings."""
    pseudo = settings.pseudo
    if pseudo.runs is None:
        raise ConfigError(
            "pseudo.runs=null: expected the finished runs whose models label the test rows, for example "
            "pseudo.runs=[small_cnn-0123456789ab]; `foldwise score` lists them"
        )
    if not pseudo.runs and pseudo != PseudoSettings():
        raise ConfigError("pseudo: no runs label test rows; set pseudo.runs=[RUN], or leave the other settings out")
    if pseudo.runs and settings.augment.options.get("transplant"):
        raise ConfigError(
            f"augment.options.transplant={settings.augment.options['transplant']}: it needs true labels to find "
            "images that are empty; set augment.options.transplant=0 with pseudo.runs"
        )


def _check_split(split: SplitSettings) -> None:
    """Raise ConfigError where a split by a file has no file, or more than that, and where another one has a file."""
    if split.kind != "file":
        for name in ("file", "column"):
            if getattr(split, name) is not None:
                raise ConfigError(
                    f"split.{name}={getattr(split, name)}: split.kind={split.kind} reads no file; choose split=file"
                )
        return
    if split.file is None:
        raise ConfigError(
            "split.file=null: expected a CSV or parquet with the columns id and fold, for example split.file=folds.csv"
        )
    others = changed(split).keys() - {"kind", "file", "column"}
    if others:
        name = min(others)
        raise ConfigError(
            f"split.{name}={getattr(split, name)}: {split.file} gives the folds as they are; leave it out (a row that "
            "is never held out has fold -1 there)"
        )


def _check_tracker(tracker: TrackerSettings) -> None:
    """Raise ConfigError where an option of one tracker is set for another, or where an address is none."""
    for name, reader in (("folder", "tensorboard"), ("url", "mlflow"), ("experiment", "mlflow")):
        value = getattr(tracker, name)
        if value is not None and tracker.kind != reader:
            raise ConfigError(f"tracker.{name}={value}: tracker={tracker.kind} does not read it; tracker={reader} does")
    if tracker.url is not None and "://" not in tracker.url:
        raise ConfigError(
            f"tracker.url={tracker.url}: expected http://HOST:PORT of a server, or a database such as sqlite:///FILE"
        )


def _check_generator(settings: Settings, reader: types.ModuleType) -> None:
    kind = settings.source.kind
    if kind not in reader.SOURCES:
        raise ConfigError(
            f"source={kind}: {settings.competition.name} has no such source; "
            f"{choices(kind, ['kaggle', *reader.SOURCES])}. For files in data/raw/{settings.competition.name} write "
            "`source: kaggle` into the competition's YAML, or source=kaggle here"
        )
    settings.source.options = generator(settings)[1]
    settings.source.n_train = settings.source.n_test = settings.source.seed = None


def _refuse_source_options(source: SourceSettings) -> None:
    given = {name: value for name, value in asdict(source).items() if value and name != "kind"}
    if given:
        name = next(iter(given))
        raise ConfigError(
            f"source.{name}={given[name]}: source=kaggle reads the host's files and has no options; "
            "leave it out, or choose source=simulated or source=embedded"
        )


def _backbone(name: str, key: str) -> Callable[..., Any]:
    """Return the builder of images that a builder of many views is made of."""
    builders = {n: f for n, f in public_functions("models").items() if "backbone_options" not in option_schema(f)}
    if name not in builders:
        raise ConfigError(f"{key}={name}: no such builder of single images; {choices(name, builders)}")
    return builders[name]


def _known_option(function: Callable[..., Any], name: str, prefix: str) -> None:
    schema = option_schema(function)
    if name not in schema:
        raise ConfigError(f"{prefix}.{name}: {function.__name__} has no such option; {nearest(name, schema)}")


def _typed(text: str) -> Any:
    """Return the number, the truth value, the None or the text that a word of the command line is.

    >>> [_typed(text) for text in ("3", "1e-3", "true", "null", "colour")]
    [3, 0.001, True, None, 'colour']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "null": None}.get(text.lower(), text)


def _validated(annotation: Any, value: Any, prefix: str) -> Any:
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e, annotation, prefix) for e in error.errors())) from None


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    if is_dataclass(annotation):
        annotation.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[union-attr]
        for hint in get_type_hints(annotation).values():
            if is_dataclass(hint):
                hint.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[union-attr]
    return TypeAdapter(annotation)


def _explain(error: Any, annotation: Any, prefix: str) -> str:
    """Say one pydantic error as `key=value: what was expected`."""
    places = [str(place) for place in error["loc"] if not str(place).startswith(("literal", "list", "constrained"))]
    key = ".".join(([prefix] if prefix else []) + places)
    if error["type"] == "unexpected_keyword_argument":
        schema = annotation
        for place in places[:-1]:
            schema = get_type_hints(schema)[place]
        return f"{key}: no such setting; {choices(places[-1], [f.name for f in fields(schema)])}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{key}: not set; give it on the command line or in a YAML"
    if error["type"] == "literal_error":
        valid = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return f"{key}={error['input']}: {choices(error['input'], valid)}"
    return f"{key}={error['input']}: {error['msg'][0].lower()}{error['msg'][1:]}"
