"""The typed settings: the schema of `conf/`.

The options of a competition, a model, an augmentation or a source are the keyword arguments of the function that is
named: its signature is their schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

Metric = Literal["log_loss", "auc", "accuracy", "f1", "kappa", "rmsle", "mae", "rmse", "r2"]

Options = dict[str, Any]
Backend = Literal["tensorflow", "jax", "torch"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "lion", "lamb", "muon", "adagrad", "adadelta", "adamax"]


def _word(value: Any) -> Any:
    """Return what YAML takes for a number, a version or a time, as the word that it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _folder_name(value: Any) -> Any:
    """Refuse a name that would lead elsewhere as a part of a path."""
    if isinstance(value, str) and not is_folder_name(value):
        raise PydanticCustomError("folder_name", "expected the name of a folder: no slash, and no dot at its beginning")
    return value


def is_folder_name(name: object) -> bool:
    """Tell whether a text is the name of one folder, which cannot lead out of the one that it lies in.

    >>> is_folder_name("small_cnn-0123456789ab"), is_folder_name("../x"), is_folder_name("..")
    (True, False, False)
    """
    return isinstance(name, str) and re.fullmatch(r"[^./\\:\x00-\x1f][^/\\\x00-\x1f]{0,199}", name) is not None


FolderName = Annotated[str, AfterValidator(_folder_name)]


@dataclass
class CompetitionSettings:
    """Which competition, and how its files are read.

    name: of the folders data/raw/NAME, data/prepared/NAME and runs/NAME.
    reader: a package of foldwise.competitions, such as folder, statoil, passenger_screening, digit_recognizer.
    slug: the competition's name on Kaggle, the last part of its address. None: it is not on Kaggle.
    options: keyword arguments of the reader's function `read`.
    metric: the objective, by which runs and blends are ranked and chosen; rmse, mae, r2 or rmsle of a regression.
    shown: further metrics that `foldwise score` shows.
    """

    name: FolderName
    reader: str
    slug: FolderName | None = None
    options: Options = field(default_factory=dict)
    metric: Metric = "log_loss"
    shown: list[Metric] = field(default_factory=list)


@dataclass
class SourceSettings:
    """Where the raw files come from.

    kind: kaggle (the host's files), simulated (by a simulator), or embedded (real data that installed packages carry).
    n_train: training rows of a simulated or embedded source. None: its own default.
    n_test: test rows. None: its own default.
    seed: of the simulation, or of the split into train and test. None: 0.
    options: further keyword arguments of the function that writes the files.
    """

    kind: Literal["kaggle", "simulated", "embedded"]
    n_train: Count | None = None
    n_test: Count | None = None
    seed: Seed | None = None
    options: Options = field(default_factory=dict)


@dataclass
class ModelSettings:
    """Which network is trained.

    name: a function of foldwise.models; `foldwise models` lists them.
    options: its keyword arguments.
    """

    name: str
    options: Options = field(default_factory=dict)


@dataclass
class AugmentSettings:
    """Random changes of training images, and the views that are averaged at test time.

    name: a function of foldwise.augment.
    options: its keyword arguments.
    mixup: parameter of the Beta distribution of the share of the other image; 0 is off.
    cutmix: the same for the share of the area that is cut out of the other image; 0 is off.
    test_views: views whose predictions are averaged: identity (1), flips (4), dihedral (8), shifts (5), mirror (2).
    """

    name: str
    options: Options = field(default_factory=dict)
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    test_views: Literal["identity", "flips", "dihedral", "shifts", "mirror"] = "identity"


@dataclass
class FitSettings:
    """How a network is trained.

    epochs: passes over the training rows.
    batch_size: rows of one batch.
    accumulate: batches whose gradients are averaged for one step of the optimizer: the memory of a small batch, the
        step of a large one.
    optimizer: its name in keras.optimizers, in small letters.
    learning_rate: at its highest, after the warm-up.
    weight_decay: decoupled from the gradient (AdamW).
    decayed: what weight decay pulls to 0: all variables, or matrices alone, without biases and scales of normalisation.
    schedule: of the learning rate after the warm-up: constant, or cosine to 0.
    warmup_epochs: epochs in which the learning rate rises from 0.
    loss: auto (cross-entropy, or squared for a regression), focal for classes, or squared, absolute or huber (of errors
        in standard deviations of the target) for a regression.
    label_smoothing: share of each label that is spread over all classes (Szegedy et al. 2016); 0 is off.
    focal_gamma: of the focal loss, the power of 1 - p of the true label by which sure rows count less.
    positive_weight: of positive labels in the loss of a binary or multilabel task, where negative ones have 1.
    class_weights: weigh rows so that all classes weigh the same.
    ema: momentum of the moving average of the weights; 0 is off.
    mixed_precision: 16-bit floats except for the inputs, the head and the loss.
    seed: of every random draw of the training.
    n_seeds: models for each fold, from `seed` on, whose probabilities are averaged.
    refit: train on all rows too, after the folds; test predictions then come from that fit alone.
    refit_seeds: models of the refit, whose probabilities are averaged.
    snapshots: cycles of the cosine schedule, at each of whose ends a model is kept.
    """

    epochs: Count = 20
    batch_size: Count = 32
    accumulate: Count = 1
    optimizer: Optimizer = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    decayed: Literal["all", "matrices"] = "all"
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    loss: Literal["auto", "squared", "absolute", "huber", "focal"] = "auto"
    label_smoothing: Fraction = 0.0
    focal_gamma: NonNegative = 2.0
    positive_weight: Positive = 1.0
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
    """Which layers of a pretrained network are trained, when, and how fast.

    mode: none (all layers alike), head (the output alone), last_block, all, or gradual (a stage more after another).
    head_epochs: of last_block, all and gradual: first epochs, in which the head alone is trained.
    head_rate: learning rate of the head once the backbone trains, as a multiple of fit.learning_rate.
    backbone_rate: that of the backbone's last stage, as a multiple of fit.learning_rate.
    layer_decay: learning rate of each earlier stage, as a share of that of the stage after it.
    tuned_weight_decay: weight decay once the backbone trains. None: fit.weight_decay throughout.
    batch_norm: frozen (keep the statistics of the pretraining everywhere) or tuned (where its stage trains).
    features: of mode head: stored (a backbone sees each image once for all folds) or computed (in every epoch).
    views: of mode head with an augmentation: stored views of each image, of which an epoch takes one; 1 augments anew.
    """

    mode: Literal["none", "head", "last_block", "all", "gradual"] = "none"
    head_epochs: Annotated[int, Field(ge=0)] = 3
    head_rate: Positive = 1.0
    backbone_rate: Positive = 0.1
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    tuned_weight_decay: NonNegative | None = None
    batch_norm: Literal["frozen", "tuned"] = "frozen"
    features: Literal["stored", "computed"] = "stored"
    views: Count = 1


@dataclass
class PseudoSettings:
    """Test rows that join the training rows, labelled by the same fold of earlier runs.

    runs: names of the finished runs whose predictions are averaged; empty is off. None: must be set.
    labels: hard (the likelier label) or soft (the probability).
    confidence: least probability of the label of a row that joins.
    weight: of such a row in the loss; a training row has 1.
    """

    runs: list[FolderName] | None = field(default_factory=list)
    labels: Literal["hard", "soft"] = "hard"
    confidence: Fraction = 0.95
    weight: Positive = 1.0


@dataclass
class SplitSettings:
    """How training rows are assigned to folds.

    kind: stratified (by class), group (whole groups), stratified_group (both), iterative (each label of many has its
        share), iterative_group (that of whole groups), file (one's own), other (folds of imported predictions).
    n_folds: folds; those of a file are counted.
    repeats: times that all rows are split anew.
    seed: of the first repeat; the others count on.
    tries: seeds that are tried for grouped splits, of which the best balanced is kept.
    near_duplicates: images share a fold if their perceptual hashes differ in at most so many of 64 bits. None: off.
    rare: rows of a class with fewer rows (groups) than folds: spread over folds, or keep_in_train: never held out.
    file: CSV or parquet with the fold of each training id, for split=file; fold -1 is never held out. None: not set.
    column: of that file, which holds the folds. None: the one named fold, kfold or alike.
    """

    kind: Literal["stratified", "group", "stratified_group", "iterative", "iterative_group", "file", "other"] = (
        "stratified"
    )
    n_folds: Annotated[int, Field(ge=2, le=100)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    seed: Seed = 0
    tries: Count = 20
    near_duplicates: Annotated[int, Field(ge=0, le=64)] | None = None
    rare: Literal["spread", "keep_in_train"] = "spread"
    file: str | None = None
    column: str | None = None


@dataclass
class EnsembleSettings:
    """How runs are blended.

    name: a function of foldwise.blends.
    options: its keyword arguments.
    average: scale on which weighted members are averaged: logit (a geometric mean) or arithmetic, as values always are.
    members: all, or a list of runs or models.
    best: take only so many members, those best by the objective, chosen inside the folds too; auto: their number as
        well. None: all.
    calibrate: curve that is fitted to the blend inside the folds; auto takes one that wins out of fold, if any does.
    calibrate_by: column, such as zone, for each of whose values a curve is fitted. None: one curve.
    shrinkage: prior strength of the curve of all rows, in rows, where there is one for each value.
    cap_by: column, such as scan; the probabilities of its rows sum to at most a number chosen inside the folds.
    clip: bound of the probabilities, or auto: floor and ceiling chosen inside the folds. None: off.
    """

    name: str = "greedy"
    options: Options = field(default_factory=dict)
    average: Literal["logit", "arithmetic"] = "logit"
    members: Literal["all"] | Annotated[list[str], Field(min_length=1)] = "all"
    best: Count | Literal["auto"] | None = None
    calibrate: Literal["none", "auto", "temperature", "platt", "beta", "isotonic"] = "none"
    calibrate_by: str | None = None
    shrinkage: NonNegative = 200.0
    cap_by: str | None = None
    clip: Literal["auto"] | Annotated[float, Field(ge=0, lt=0.5)] | None = None


@dataclass
class ExecutionSettings:
    """Where and how fast folds are trained; of these, the backend alone changes the identity of a run.

    workers: folds that are trained at once. None: as many as keep every core busy, or one on a GPU.
    threads_per_fold: threads of one fold. None: two, or a fifth of the cores; the bits of a prediction depend on it.
    allow_cpu: train on the CPU although the driver shows a GPU.
    backend: of Keras: tensorflow, jax, torch, or auto (jax where it has a GPU, else tensorflow).
    lanes: folds and seeds of one architecture that jax trains as one program: off, how many at most, or auto (on a GPU
        as many as its memory takes).
    held_out_loss: record the loss of the held-out rows after each epoch in history.csv, for the learning curves; by the
        averages of fit.ema where there are; nothing is stopped or chosen by it. Not of folds that train in lanes.
    executor: what trains the folds: local (worker processes of this machine), ray (a cluster, at RAY_ADDRESS, or
        this machine) or slurm (a job for each fold, by submitit). Ray reads the scans of passenger_screening too.
        Predictions are always made on this machine.
    retries: of ray: how often a fold is started again whose worker or machine died.
    gpus_per_fold: of ray and slurm. None: 1 where this machine has a GPU that the backend uses, else 0.
    storage: of ray: shared (all machines see the folder `root`) or driver (data goes to the workers through Ray, and
        results come back to this machine, which writes them).
    slurm: parameters of submitit's executor, such as {slurm_partition: gpu, timeout_min: 240}; cluster: local runs the
        jobs here.
    """

    workers: Count | None = None
    threads_per_fold: Count | None = None
    allow_cpu: bool = False
    backend: Literal["auto"] | Backend = "auto"
    lanes: Literal["auto", "off"] | Count = "auto"
    held_out_loss: bool = False
    executor: Literal["local", "ray", "slurm"] = "local"
    retries: Annotated[int, Field(ge=0)] = 3
    gpus_per_fold: NonNegative | None = None
    storage: Literal["shared", "driver"] = "shared"
    slurm: Options = field(default_factory=dict)


@dataclass
class TrackerSettings:
    """Where the recipe, the learning curves and the scores of runs are logged besides their folders.

    kind: none, tensorboard (event files) or mlflow.
    folder: of TensorBoard's event files. None: runs/<competition>/<run>/tensorboard.
    url: of MLflow: http://HOST:PORT of a server, or a database. None: sqlite:///<root>/mlflow.db.
    experiment: its name in MLflow. None: that of the competition.
    """

    kind: Literal["none", "tensorboard", "mlflow"] = "none"
    folder: str | None = None
    url: str | None = None
    experiment: str | None = None


@dataclass
class ImportsSettings:
    """Predictions that were made elsewhere, for `foldwise import`.

    oof: file, or folder of files, of out-of-fold predictions (CSV or parquet). None: must be set.
    test: file or folder of the test predictions that go with them. None: must be set.
    folds: file (id, fold) of the folds that they were made on. None: they have a column fold.
    ids: exact, or repaired: zeros that a number lost, suffixes and folders may differ where what is meant is certain.
    name: name of the run. None: that of the file.
    """

    oof: str | None = None
    test: str | None = None
    folds: str | None = None
    ids: Literal["exact", "repaired"] = "exact"
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None


@dataclass
class DownloadSettings:
    """What `foldwise download` fetches.

    files: names or patterns of files, such as [train.csv,"train/*"], which are fetched one by one. None: all, as one
        archive.
    max_size: with `files`, the size of all of them at most, such as 20GB. None: what the disk holds.
    max_unpacked: size that the archive may unpack to, such as 500GB. None: 200 times its own, but 1 GiB at least.
    """

    files: list[str] | None = None
    max_size: Annotated[str, BeforeValidator(_word)] | None = None
    max_unpacked: Annotated[str, BeforeValidator(_word)] | None = None


@dataclass
class PredictSettings:
    """New samples that `foldwise predict` answers.

    images: folder of images, for a competition whose reader takes them. None: raw is set.
    raw: folder of raw files in the competition's own format, of which the test part is read. None: images is set.
    sample: sample submission of the new samples. None: the one in `raw`, or ids and probabilities are written.
    bundle: folder that `foldwise bundle` wrote, which alone is predicted from. None: the runs of a submission.
    budget: time for the whole command, such as 80m, 1h30m or 5400 (seconds): further fits of a member, and then
        members, are left out where all would take longer. None: no limit.
    """

    images: str | None = None
    raw: str | None = None
    sample: str | None = None
    bundle: str | None = None
    budget: Annotated[str, BeforeValidator(_word)] | None = None


@dataclass
class BundleSettings:
    """What `foldwise bundle` packs, and where it goes.

    folds: numbers of the folds whose weights are packed. None: all.
    float16: write the weights in 16 bits: half the size, and probabilities that differ by about 0.001 at most.
    python: version of Python that the wheels are for. None: that of Kaggle's image, in foldwise/kaggle/image.yaml.
    wheels: folder that holds the wheels that the image lacks. None: pip downloads them.
    budget: time that the notebook may predict for, such as 80m, see predict.budget. None: as long as it takes.
    gpu: ask for a GPU for the notebook.
    name: of the dataset on Kaggle. None: foldwise-<competition>.
    owner: your user name on Kaggle. None: with push=true the client's, else a placeholder in the metadata.
    push: send the folder as a dataset, and the notebook, to Kaggle.
    """

    folds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    float16: bool = False
    python: Annotated[Literal["3.11", "3.12", "3.13"], BeforeValidator(_word)] | None = None
    wheels: str | None = None
    budget: Annotated[str, BeforeValidator(_word)] | None = None
    gpu: bool = False
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{4,48}[a-z0-9]$")] | None = None
    owner: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    push: bool = False


@dataclass
class SubmitSettings:
    """What `foldwise submit` does.

    message: note of the submission on Kaggle. Empty: its nested score and its runs.
    dry_run: do all but send.
    yes: send without a question.
    again: send what was sent before, too.
    wait: seconds in which the score is waited for; 0 does not wait.
    kernel: OWNER/NAME of the notebook that is submitted to a code competition. None: a file is.
    version: number of the notebook's version, for `kernel`.
    """

    message: str = ""
    dry_run: bool = False
    yes: bool = False
    again: bool = False
    wait: NonNegative = 300.0
    kernel: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")] | None = None
    version: Count | None = None


@dataclass
class GradeSettings:
    """What `foldwise grade` compares a submission with.

    solution: CSV of the true labels. None: solution.csv in the raw folder, or private/test.csv, as MLE-bench has it.
    leaderboard: CSV (or a zip of one) of a leaderboard, in which the score is ranked. None: off.
    """

    solution: str | None = None
    leaderboard: str | None = None


@dataclass
class TuneSettings:
    """How `foldwise tune` searches for a recipe.

    trials: recipes that are scored in all, those of earlier commands with the same search space included.
    sampler: tpe (Bergstra et al. 2011), or random.
    seed: of the sampler.
    batch: recipes whose folds are trained together, in one queue. None: 4, or as many as folds train at once.
    prune: stop a recipe after its first folds, where its score on them is worse than the median of the others' on as
        many folds; off, or that number of folds.
    name: of the study and of the experiment that is written. None: that of the competition.
    """

    trials: Count = 20
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Seed = 0
    batch: Count | None = None
    prune: Literal["off"] | Count = "off"
    name: Annotated[str, Field(pattern=r"^\w[\w-]*$")] | None = None


@dataclass
class RunsSettings:
    """Which runs `foldwise runs` lists, and in which order.

    sort: score (the best first), name, minutes (the shortest first) or date (the newest first).
    filter: conditions with blanks between, which all hold: a part of a run's name, or a key of its scores or recipe
        with a value, as in "small_cnn log_loss<0.3 fit.epochs=20". None: all runs.
    diff: two runs whose recipes are compared instead. None: off.
    run: the one that `foldwise show` shows: its name, or the beginning of it or of its key. None: must be set.
    """

    sort: Literal["score", "name", "minutes", "date"] = "score"
    filter: str | None = None
    diff: list[str] | None = None
    run: Annotated[str, BeforeValidator(_word)] | None = None


@dataclass
class ReportSettings:
    """What the page of `foldwise report` holds.

    best: so many of the best runs have curves and tables of their own. None: all.
    images: hardest and most confidently wrong samples of a run that are shown as images; 0 shows none.
    illustrated: so many of the best runs show them.
    heat: so many of these samples, the hardest first, with a map of where the model looks: Grad-CAM.
    occlusion: so many with a map of how far the prediction falls where a patch is covered.
    neighbours: so many of the training samples that the model finds most alike, for each of these samples.
    """

    best: Count | None = None
    images: Annotated[int, Field(ge=0, le=100)] = 12
    illustrated: Annotated[int, Field(ge=0)] = 3
    heat: Annotated[int, Field(ge=0, le=100)] = 0
    occlusion: Annotated[int, Field(ge=0, le=100)] = 0
    neighbours: Annotated[int, Field(ge=0, le=10)] = 0


@dataclass
class PreviewSettings:
    """What the contact sheet of `foldwise preview` shows.

    images: training images, evenly spaced in the data.
    views: augmented views of each.
    seed: another one gives other views.
    """

    images: Count = 6
    views: Count = 6
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass
class Settings:
    """All settings of a command.

    root: folder in which data/, runs/, submissions/ and reports/ are made.
    format: what a stage prints on stdout: text or json.
    submission: file that is graded or submitted. None: the competition's newest.
    by: column, such as zone, for each of whose values the log loss is shown too. None: off.
    details: show how the scored runs compare in pairs, too.
    """

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
    download: DownloadSettings = field(default_factory=DownloadSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    bundle: BundleSettings = field(default_factory=BundleSettings)
    submit: SubmitSettings = field(default_factory=SubmitSettings)
    grade: GradeSettings = field(default_factory=GradeSettings)
    runs: RunsSettings = field(default_factory=RunsSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    preview: PreviewSettings = field(default_factory=PreviewSettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    root: str = "."
    format: Literal["text", "json"] = "text"
    submission: str | None = None
    by: str | None = None
    details: bool = False

    @property
    def raw_dir(self) -> Path:
        """Return the folder of the competition's raw files."""
        return Path(self.root) / "data" / "raw" / self.competition.name

    @property
    def prepared_dir(self) -> Path:
        """Return the folder of the competition's prepared data."""
        return Path(self.root) / "data" / "prepared" / self.competition.name

    @property
    def runs_dir(self) -> Path:
        """Return the folder of the competition's runs."""
        return Path(self.root) / "runs" / self.competition.name

    @property
    def submissions_dir(self) -> Path:
        """Return the folder of submissions."""
        return Path(self.root) / "submissions"

    @property
    def reports_dir(self) -> Path:
        """Return the folder of the competition's report."""
        return Path(self.root) / "reports" / self.competition.name

    @property
    def bundles_dir(self) -> Path:
        """Return the folder of bundles."""
        return Path(self.root) / "bundles"


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


def option_help(settings: type) -> dict[str, str]:
    """Return what each option of a settings class means, from its docstring.

    >>> option_help(SubmitSettings)["dry_run"]
    'do all but send'
    """
    text = re.sub(r"\s+", " ", " ".join((settings.__doc__ or "").split("\n\n")[1:]))
    names = "|".join(one.name for one in fields(settings))
    parts = re.split(rf"(?:^| )({names}): ", text)
    return {name: meaning.strip().removesuffix(".") for name, meaning in zip(parts[1::2], parts[2::2], strict=True)}


def plain(value: Any) -> Any:
    """Return settings or options as plain JSON values."""
    return TypeAdapter(Any).dump_python(asdict(value) if is_dataclass(value) else value, mode="json")  # type: ignore[arg-type]


Task = Literal["binary", "multiclass", "multilabel", "regression", "ordinal"]

# tasks whose rows have one class of several: labels are one-hot, and probabilities sum to 1
ONE_CLASS: tuple[Task, ...] = ("multiclass", "ordinal")
