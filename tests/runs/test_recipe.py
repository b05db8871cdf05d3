"""Run keys: what decides a prediction is in them, new options at their defaults and where it runs are not."""

import importlib
import inspect
import linecache
from dataclasses import dataclass, replace

import pytest

from foldwise import augment, configure, devices, models, plugins
from foldwise.augment import fused, pipelines, sampling
from foldwise.data.folds import split_key
from foldwise.runs import recipe
from foldwise.settings import AugmentSettings, FinetuneSettings, FitSettings, PseudoSettings, SplitSettings, plain
from foldwise.stages import prepare

WORDS = ("competition=faces", "model=mlp")


def key(*words):
    return recipe.run_name(recipe.make_recipe(configure(*WORDS, *words), "data", "split"))


def test_the_key_holds_what_decides_a_prediction_and_nothing_else():
    same = [(), ("execution.workers=7",), ("execution.threads_per_fold=3",), ("root=/elsewhere",), ("format=json",)]
    same += [("ensemble=mean",), ("model.options.hidden=[256,128]",), ("fit.refit_seeds=7",)]
    assert len({key(*words) for words in same}) == 1
    other = ["fit.seed=1", "fit.epochs=21", "model.options.hidden=[256]", "augment=flips", "fit.refit=true"]
    assert len({key(word) for word in other} | {key()}) == len(other) + 1


def test_the_backend_is_in_the_key_unless_it_is_tensorflow(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: object() if "cuda" not in name else None)
    same = [(), ("execution.backend=tensorflow",), ("execution.backend=auto",)]
    assert len({key(*words) for words in same}) == 1
    assert len({key(f"execution.backend={name}") for name in ("tensorflow", "jax", "torch")}) == 3
    made = recipe.make_recipe(configure(*WORDS, "execution.backend=jax"), "data", "split")
    assert recipe.recipe_from(plain(made)).backend == "jax"
    old = {name: value for name, value in plain(made).items() if name != "backend"}
    assert recipe.recipe_from(old).backend == "tensorflow"


def test_a_new_option_at_its_default_trains_nothing_anew(monkeypatch):
    before = key("fit.epochs=3", "augment=radar")

    @dataclass
    class MoreFitSettings(FitSettings):
        lookahead: float = 0.0

    def more_radar(
        *,
        shift: int = 4,
        rotate: float = 0.0,
        zoom: float = 0.0,
        shear: float = 0.0,
        quarter_turns: bool = False,
        gain: float = 0.0,
        noise: float = 0.0,
        blur: int = 0,
    ):
        """As radar, with one option more."""

    more_radar.__module__ = "foldwise.augment.pipelines"
    monkeypatch.setattr(augment, "radar", more_radar)
    made = recipe.make_recipe(configure(*WORDS, "fit.epochs=3", "augment=radar"), "data", "split")
    assert made.augment.options["blur"] == 0
    assert recipe.run_name(replace(made, fit=MoreFitSettings(**plain(made.fit)))) == before
    assert recipe.run_name(replace(made, fit=MoreFitSettings(**plain(made.fit), lookahead=0.1))) != before
    blurred = replace(made.augment, options=made.augment.options | {"blur": 1})
    assert recipe.run_name(replace(made, augment=blurred)) != before


def test_a_new_option_of_a_split_or_a_reader_at_its_default_changes_no_key(monkeypatch):
    @dataclass
    class MoreSplitSettings(SplitSettings):
        purge: int = 0

    data = type("Data", (), {"data_key": "d", "ids_key": "i"})
    assert split_key(data, MoreSplitSettings(n_folds=3)) == split_key(data, SplitSettings(n_folds=3))
    assert split_key(data, MoreSplitSettings(n_folds=3, purge=1)) != split_key(data, SplitSettings(n_folds=3))
    reader = plugins.competition_module("folder")
    before = prepare.data_key(configure(*WORDS))
    read = reader.read

    def more(raw_dir, **options):
        return read(raw_dir, **options)

    parameter = inspect.Parameter("mosaic", inspect.Parameter.KEYWORD_ONLY, default="first", annotation=str)
    signature = inspect.signature(read)
    more.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])
    more.__globals__.update({name: value for name, value in vars(reader).items() if name not in globals()})
    monkeypatch.setattr(reader, "read", more)
    assert configure(*WORDS).competition.options["mosaic"] == "first"
    assert prepare.data_key(configure(*WORDS)) == before
    assert prepare.data_key(configure(*WORDS, "competition.options.mosaic=all")) != before


@pytest.mark.parametrize(
    ("settings", "defaults"),
    [
        (
            FitSettings(),
            {
                "epochs": 20,
                "batch_size": 32,
                "optimizer": "adamw",
                "learning_rate": 0.001,
                "weight_decay": 0.0,
                "decayed": "all",
                "schedule": "cosine",
                "warmup_epochs": 0.0,
                "loss": "auto",
                "label_smoothing": 0.0,
                "focal_gamma": 2.0,
                "positive_weight": 1.0,
                "class_weights": False,
                "ema": 0.0,
                "mixed_precision": False,
                "seed": 0,
                "n_seeds": 1,
                "refit": False,
                "refit_seeds": 3,
                "snapshots": 1,
                "accumulate": 1,
            },
        ),
        (
            AugmentSettings("none"),
            {"name": "none", "options": {}, "mixup": 0.0, "cutmix": 0.0, "test_views": "identity"},
        ),
        (PseudoSettings(), {"runs": [], "labels": "hard", "confidence": 0.95, "weight": 1.0}),
        (
            SplitSettings(),
            {
                "kind": "stratified",
                "n_folds": 5,
                "repeats": 1,
                "seed": 0,
                "tries": 20,
                "near_duplicates": None,
                "rare": "spread",
                "file": None,
                "column": None,
            },
        ),
    ],
    ids=["fit", "augment", "pseudo", "split"],
)
def test_the_defaults_that_old_keys_stand_for(settings, defaults):
    """Keys hold differences from these: whoever changes one raises VERSION in training/fit.py, or in data/folds.py."""
    assert plain(settings) == defaults


def test_the_defaults_of_finetuning_that_old_keys_stand_for():
    """See above: VERSION of training/finetune.py."""
    assert plain(FinetuneSettings()) == {
        "mode": "none",
        "head_epochs": 3,
        "head_rate": 1.0,
        "backbone_rate": 0.1,
        "layer_decay": 0.7,
        "tuned_weight_decay": None,
        "batch_norm": "frozen",
        "features": "stored",
        "views": 1,
    }


@pytest.mark.parametrize("module", recipe.DECIDING)
def test_a_raised_version_of_a_deciding_module_trains_anew(module, tmp_path, monkeypatch):
    before = key()
    for name in recipe.DECIDING:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = (recipe.SOURCE / f"{name}.py").read_text()
        (tmp_path / f"{name}.py").write_text(text.replace("\nVERSION = 1", "\nVERSION = 2") if name == module else text)
    monkeypatch.setattr(recipe, "SOURCE", tmp_path)
    assert key() != before


def test_every_module_of_training_counts_as_deciding():
    modules = {f"training/{path.stem}" for path in (recipe.SOURCE / "training").glob("*.py")}
    for_the_eye = {"training/explain", "training/held_out_loss"}  # what they compute enters no prediction
    assert modules - {"training/__init__"} - for_the_eye <= set(recipe.DECIDING)


def edited(monkeypatch, old, new, module=pipelines):
    """Let a module of the augmentations have another text."""
    text = inspect.getsource(module)
    assert old in text
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda it: text.replace(old, new) if it is module else source(it))


@pytest.mark.parametrize(
    ("module", "old", "new", "anew"),
    [
        (pipelines, "Ranges(flip_x=True, flip_y=True)", "Ranges(flip_x=True)", True),
        (pipelines, '"""Flip left to right and top to bottom', '"""Flip both ways', False),
        (pipelines, "import inspect\n", "import inspect  # of Python\n", False),
        (fused, "cv2.BORDER_REFLECT_101", "cv2.BORDER_REPLICATE", True),
        (sampling, "(2 * most + 1)", "(2 * most)", True),
    ],
)
def test_an_edited_augmentation_is_trained_anew_and_a_comment_is_not(monkeypatch, module, old, new, anew):
    before, without = key("augment=flips"), key("augment=none")
    edited(monkeypatch, old, new, module)
    assert (key("augment=flips") != before) is anew
    assert key("augment=none") == without


def test_a_nested_module_of_a_model_is_hashed_too(monkeypatch):
    from foldwise.models.pretrained import assemble

    words = ("model=efficientnet_lite0", "model.options.weights=null")
    before, other = key(*words), key()
    source = inspect.getsource
    text = source(assemble).replace("0.485", "0.486")
    monkeypatch.setattr(inspect, "getsource", lambda it: text if it is assemble else source(it))
    assert key(*words) != before
    assert key() == other


def test_an_edited_model_is_another_model(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def code(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return recipe.code_key(importlib.import_module(name).build)

    first = code("tiny_a", 'def build():\n    """Build."""\n    return 1\n')
    assert code("tiny_b", 'def build():\n    """Build it."""\n\n    return 1  # one\n') == first
    assert code("tiny_c", 'def build():\n    """Build."""\n    return 2\n') != first


def test_a_model_is_another_one_when_a_module_that_it_imports_is_edited(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    (tmp_path / "deepest.py").write_text("WIDTH = 8\n")
    (tmp_path / "between.py").write_text("from foldwise.models import deepest\n")
    (tmp_path / "tiny.py").write_text(
        "from foldwise.models.between import deepest\n\n\ndef build():\n    return deepest.WIDTH\n"
    )
    build = importlib.import_module("foldwise.models.tiny").build
    first = recipe.code_key(build)
    assert recipe.code_key(build) == first
    (tmp_path / "deepest.py").write_text("WIDTH = 16\n")
    linecache.checkcache()
    assert recipe.code_key(build) != first
