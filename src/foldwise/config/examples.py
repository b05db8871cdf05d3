"""Two commands for each stage, which its help shows."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, str]] = {
    "download": (
        "download competition=statoil",
        "download competition=statoil 'files=[train.json.7z]' max_size=2GB",
    ),
    "simulate": ("simulate competition=faces", "simulate competition=statoil source.n_train=600 source.seed=1"),
    "prepare": ("prepare competition=faces", "prepare competition=faces competition.options.side=32"),
    "folds": ("folds competition=faces", "folds competition=faces split.n_folds=10 split.seed=1"),
    "train": (
        "train competition=faces model=small_cnn fit.epochs=5",
        "train -m competition=faces model=mlp,small_cnn fit.epochs=5,20",
    ),
    "tune": (
        "tune competition=faces model=small_cnn fit.learning_rate='tag(log,interval(1e-4,1e-2))'",
        "tune competition=faces sweep=architectures sampler=random trials=50",
    ),
    "import": (
        "import competition=faces oof=theirs_oof.csv test=theirs_test.csv",
        "import competition=faces oof=oof/ test=test/ folds=folds.csv name=team_mate",
    ),
    "score": ("score competition=faces", "score competition=faces details=true competition.shown=[auc]"),
    "runs": (
        "runs competition=faces sort=date filter='small_cnn log_loss<0.3'",
        "runs competition=faces 'diff=[mlp-0123,small_cnn-4567]'",
    ),
    "show": ("show small_cnn-0123", "show small_cnn-0123 format=json"),
    "ensemble": ("ensemble competition=faces", "ensemble competition=faces ensemble=logistic"),
    "grade": ("grade competition=faces", "grade competition=faces solution=truth.csv"),
    "report": ("report competition=faces", "report competition=faces best=10 heat=4"),
    "preview": ("preview competition=faces augment=flips", "preview competition=statoil augment=radar images=3"),
    "predict": (
        "predict competition=faces images=FOLDER",
        "predict competition=faces images=FOLDER sample=sample_submission.csv",
    ),
    "bundle": ("bundle competition=faces", "bundle competition=faces float16=true budget=80m"),
    "verify": ("verify competition=faces", "verify competition=faces format=json"),
    "submit": (
        "submit competition=statoil source=kaggle dry_run=true",
        "submit competition=statoil source=kaggle message='first try'",
    ),
    "submissions": ("submissions competition=statoil source=kaggle", "submissions competition=statoil format=json"),
    "doctor": ("doctor competition=statoil source=kaggle", "doctor competition=faces"),
    "inspect": ("inspect scan.aps", "inspect scan.aps views.png"),
    "models": ("models", "models format=json"),
}
