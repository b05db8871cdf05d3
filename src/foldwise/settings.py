"""The typed settings: the schema of `conf/`.

The options of a competition, a model, an augmentation or a source are the keyword arguments of the function that is
named: its signature is their schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

Metric = Literal["log_loss", "auc", "accuracy", "f1", "kappa", "rmsle"]

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
class ImportsSettings:
    """Predictions that were made elsewhere, for `foldwise import`.

    oof: a file, or a folder of files, of out-of-fold predictions (CSV or parquet). None: must be set.
    test: the file or folder of the test predictions that go with them. None: must be set.
    folds: a file (id, fold) of the folds that they were made on. None: their own column `fold` tells.
    name: of the run. None: that of the file.
    """

    oof: str | None = None
    test: str | None = None
    folds: str | None = None
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None


@dataclass
class SubmitSettings:
    """What `foldwise submit` does.

    message: the note of the submission on Kaggle. Empty: its nested score.
    dry_run: check all that can be checked here, and send nothing.
    """

    message: str = ""
    dry_run: bool = False


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
    imports: ImportsSettings = field(default_factory=ImportsSettings)
    submit: SubmitSettings = field(default_factory=SubmitSettings)
    root: str = "."
    format: Literal["text", "json"] = "text"
    submission: str | None = None
    by: str | None = None

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


def differences(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return, as plain JSON values, the values that differ from the defaults.

    >>> differences({"side": 64, "shift": (2, 2)}, {"side": 32, "shift": [2, 2]})
    {'side': 64}
    """
    given, usual = plain(dict(values)), plain(dict(defaults))
    return {name: value for name, value in given.items() if name not in usual or value != usual[name]}


def changed(settings: Any) -> dict[str, Any]:
    """Return, as plain JSON values, the fields of a settings object that differ from their defaults.

    >>> changed(FitSettings(epochs=30))
    {'epochs': 30}
    """
    defaults = {
        one.name: one.default if one.default_factory is MISSING else one.default_factory()
        for one in fields(settings)
        if one.default is not MISSING or one.default_factory is not MISSING
    }
    return differences({one.name: getattr(settings, one.name) for one in fields(settings)}, defaults)


def plain(value: Any) -> Any:
    """Return settings or options as plain JSON values."""
    return TypeAdapter(Any).dump_python(asdict(value) if is_dataclass(value) else value, mode="json")  # type: ignore[arg-type]


Task = Literal["binary", "multiclass", "multilabel"]
