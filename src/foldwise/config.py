"""The typed settings: what may be said, what it means, and the checks on it.

The dataclasses below are the schema of `conf/`. The options of a competition, a model, an augmentation or
a source are the keyword arguments of the function that is named: its signature is their schema.
"""

import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from foldwise.errors import ConfigError, choices

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

Metric = Literal["log_loss", "auc", "accuracy", "f1", "kappa", "rmsle"]
ENSEMBLE_MODULES = ("compare", "files")  # ensemble names that are no function of foldwise.blends

Options = dict[str, Any]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "lion", "lamb", "muon", "adagrad", "adadelta", "adamax"]


@dataclass
class CompetitionSettings:
    name: str
    reader: str  # a module of foldwise.competitions
    slug: str | None = None  # the competition's name on Kaggle
    options: Options = field(default_factory=dict)  # keyword arguments of the reader's read()
    metric: Metric = "log_loss"  # the objective: what runs and blends are ranked and chosen by
    shown: list[Metric] = field(default_factory=list)  # further metrics that `score` shows


@dataclass
class SourceSettings:
    kind: Literal["kaggle", "simulated", "embedded"]
    n_train: Count | None = None
    n_test: Count | None = None
    seed: Seed | None = None
    options: Options = field(default_factory=dict)  # further keyword arguments of the generator


@dataclass
class ModelSettings:
    name: str  # a function of foldwise.models
    options: Options = field(default_factory=dict)


@dataclass
class AugmentSettings:
    name: str  # a function of foldwise.augment
    options: Options = field(default_factory=dict)
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    test_views: Literal["identity", "flips", "dihedral", "shifts", "mirror"] = "identity"


@dataclass
class FitSettings:
    epochs: Count = 20
    batch_size: Count = 32
    optimizer: Optimizer = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    class_weights: bool = False
    ema: Fraction = 0.0
    mixed_precision: bool = False
    seed: Seed = 0
    n_seeds: Count = 1
    refit: bool = False
    refit_seeds: Count = 3
    snapshots: Count = 1


@dataclass
class FinetuneSettings:
    mode: Literal["none", "head", "last_block", "all", "gradual"] = "none"
    head_epochs: Annotated[int, Field(ge=0)] = 0
    head_rate: Positive = 1.0
    backbone_rate: Positive = 0.1
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    tuned_weight_decay: NonNegative | None = None
    batch_norm: Literal["frozen", "tuned"] = "frozen"
    features: Literal["stored", "computed"] = "stored"
    views: Count = 1


@dataclass
class PseudoSettings:
    runs: list[str] | None = field(default_factory=list)  # None: to be said
    labels: Literal["hard", "soft"] = "hard"
    confidence: Fraction = 0.95
    weight: Positive = 1.0


@dataclass
class SplitSettings:
    kind: Literal["stratified", "group", "stratified_group", "other"] = "stratified"
    n_folds: Annotated[int, Field(ge=2, le=100)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    seed: Seed = 0
    tries: Count = 20
    near_duplicates: Annotated[int, Field(ge=0, le=64)] | None = None


@dataclass
class EnsembleSettings:
    name: str = "greedy"  # a function of foldwise.blends, or compare, or files
    options: Options = field(default_factory=dict)
    average: Literal["logit", "arithmetic"] = "logit"
    members: Literal["all"] | Annotated[list[str], Field(min_length=1)] = "all"
    best: Count | None = None
    calibrate: Literal["none", "auto", "temperature", "platt", "beta", "isotonic"] = "none"
    calibrate_by: str | None = None
    shrinkage: NonNegative = 200.0
    cap_by: str | None = None
    clip: Literal["auto"] | Annotated[float, Field(ge=0, lt=0.5)] | None = None


@dataclass
class ExecutionSettings:
    workers: Count | None = None
    threads_per_fold: Count | None = None
    allow_cpu: bool = False


@dataclass
class Settings:
    competition: CompetitionSettings
    source: SourceSettings
    model: ModelSettings
    augment: AugmentSettings
    fit: FitSettings
    split: SplitSettings
    ensemble: EnsembleSettings
    execution: ExecutionSettings
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    pseudo: PseudoSettings = field(default_factory=PseudoSettings)
    root: str = "."
    format: Literal["text", "json"] = "text"
    dry_run: bool = False
    submission: str | None = None
    message: str = ""
    by: str | None = None  # score, ensemble, grade: a column, for whose values the log loss is told too
    oof: str | None = None  # import: a file or a folder of out-of-fold predictions
    test: str | None = None  # import: the same of test predictions
    folds: str | None = None  # import: a file of the folds that the predictions were made on
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None  # import: of the run, by default the file's

    @property
    def raw_dir(self) -> Path:
        return Path(self.root) / "data" / "raw" / self.competition.name

    @property
    def prepared_dir(self) -> Path:
        return Path(self.root) / "data" / "prepared" / self.competition.name

    @property
    def runs_dir(self) -> Path:
        return Path(self.root) / "runs" / self.competition.name

    @property
    def submissions_dir(self) -> Path:
        return Path(self.root) / "submissions"


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
    _check_pseudo(settings)
    method = ensemble_method(settings.ensemble.name)
    settings.ensemble.options = checked_options(method, settings.ensemble.options, "ensemble.options")
    return settings


def checked_options(function: Callable[..., Any], given: Options, prefix: str) -> Options:
    """Check `given` against the keyword-only arguments of `function`; return them with all defaults."""
    schema = _option_schema(function)
    unknown = [name for name in given if name not in schema]
    if unknown:
        raise ConfigError(
            f"{prefix}.{unknown[0]}: {function.__name__} has no such option; {choices(unknown[0], schema)}"
        )
    checked = {
        name: _validated(annotation, given[name], f"{prefix}.{name}") if name in given else default
        for name, (annotation, default) in schema.items()
    }
    if "backbone_options" in schema:
        builder = _backbone(checked["backbone"], f"{prefix}.backbone")
        inner = checked["backbone_options"] or {}
        checked["backbone_options"] = checked_options(builder, inner, f"{prefix}.backbone_options")
    return checked


def weights_named(options: Options, prefix: str = "model.options") -> dict[str, str | None]:
    """The weights that a model's options name, and those of the builder it is made of, by their keys."""
    own = {f"{prefix}.weights": options["weights"]} if "weights" in options else {}
    inner = options.get("backbone_options")
    return own | (weights_named(inner, f"{prefix}.backbone_options") if inner else {})


def plain(value: Any) -> Any:
    """Return settings or options as plain JSON values."""
    return TypeAdapter(Any).dump_python(asdict(value) if is_dataclass(value) else value, mode="json")  # type: ignore[arg-type]


def competition_module(name: str) -> types.ModuleType:
    """Import the competition module `name`; it has `VERSION`, `SOURCES`, `read` and `submission`."""
    import foldwise.competitions as package

    modules = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg}  # packages hold parts of them
    readers = sorted(m for m in modules if not m.endswith(("_simulator", "_embedded")))
    if name not in readers:
        raise ConfigError(f"competition.reader={name}: no such competition; {choices(name, readers)}")
    return importlib.import_module(f"foldwise.competitions.{name}")


def generator(settings: Settings) -> tuple[Callable[..., None], Options]:
    """Return the function that writes the raw files of a simulated or embedded source, and its arguments."""
    reader = competition_module(settings.competition.reader)
    function: Callable[..., None] = reader.SOURCES[settings.source.kind]
    source = settings.source
    sizes = {"n_train": source.n_train, "n_test": source.n_test, "seed": source.seed}
    given = source.options | {name: value for name, value in sizes.items() if value is not None}
    return function, checked_options(function, given, "source")


def ensemble_method(name: str) -> Callable[..., Any]:
    """Return the function of `foldwise.blends`, or what does more than blend, that `ensemble.name` says."""
    if name in ENSEMBLE_MODULES:
        return getattr(importlib.import_module(f"foldwise.{name}"), name)
    valid = [*public_functions("blends"), *ENSEMBLE_MODULES]
    if name not in valid:
        raise ConfigError(f"ensemble.name={name}: no such way to blend; {choices(name, valid)}")
    return public_functions("blends")[name]


def function_named(module: str, name: str, key: str) -> Callable[..., Any]:
    """Return the public function `name` of `foldwise.<module>`."""
    functions = public_functions(module)
    if name not in functions:
        raise ConfigError(f"{key}={name}: no such function in foldwise.{module}; {choices(name, functions)}")
    return functions[name]


def public_functions(module: str) -> dict[str, Callable[..., Any]]:
    """The functions that a YAML may name: those that `foldwise.<module>` lists in `__all__`."""
    imported = importlib.import_module(f"foldwise.{module}")
    return {name: getattr(imported, name) for name in imported.__all__}


def known_key(key: str) -> None:
    """Raise ConfigError unless `key` (dotted) can be set; anything may follow `.options.`."""
    schema: Any = Settings
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if depth and parts[depth - 1] == "options":
            return
        names = [f.name for f in fields(schema)] if is_dataclass(schema) else []
        if part not in names:
            parent = ".".join(parts[:depth])
            raise ConfigError(f"{key}: no such setting{f' in {parent}' if parent else ''}; {choices(part, names)}")
        schema = get_type_hints(schema)[part]


def _check_finetune(settings: Settings) -> None:
    """Raise ConfigError where the model, the epochs or the augmentation do not go with the fine-tuning."""
    finetune, options = settings.finetune, settings.model.options
    for key, weights in weights_named(options).items():
        from foldwise.weights import check_named

        check_named(weights, key)
    if "weights" not in options and finetune.mode != "none":
        builders = public_functions("models")
        pretrained = [name for name, builder in builders.items() if "weights" in _option_schema(builder)]
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
        raise ConfigError(f"finetune.views={finetune.views}: augment=none makes no views; say augment=flips or another")


def _check_snapshots(settings: Settings) -> None:
    """Raise ConfigError where the schedule or the epochs leave no cycles to take snapshots of."""
    fit, finetune = settings.fit, settings.finetune
    if fit.snapshots == 1:
        return
    if fit.schedule != "cosine":
        raise ConfigError(
            f"fit.snapshots={fit.snapshots}: a {fit.schedule} rate has no cycles; say fit.schedule=cosine"
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
        raise ConfigError("pseudo: no runs label test rows; say pseudo.runs=[RUN], or leave the other settings out")
    if pseudo.runs and settings.augment.options.get("transplant"):
        raise ConfigError(
            f"augment.options.transplant={settings.augment.options['transplant']}: it needs true labels to tell which "
            "images are empty; say augment.options.transplant=0 with pseudo.runs"
        )


def _check_generator(settings: Settings, reader: types.ModuleType) -> None:
    kind = settings.source.kind
    if kind not in reader.SOURCES:
        raise ConfigError(
            f"source={kind}: {settings.competition.name} has no such source; "
            f"{choices(kind, ['kaggle', *reader.SOURCES])}"
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
    builders = {n: f for n, f in public_functions("models").items() if "backbone_options" not in _option_schema(f)}
    if name not in builders:
        raise ConfigError(f"{key}={name}: no such builder of single images; {choices(name, builders)}")
    return builders[name]


@cache
def _option_schema(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    # only these are evaluated: other annotations name keras or albumentations, which are not imported here
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    scope = types.SimpleNamespace(__annotations__={p.name: p.annotation for p in parameters})
    hints = get_type_hints(scope, function.__globals__, include_extras=True)
    return {p.name: (hints[p.name], p.default) for p in parameters}


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
