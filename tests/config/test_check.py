"""Whatever is wrong on the command line or in a YAML stops at once, with the key, the value and the choices."""

import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest
import yaml

from foldwise import settings as settings_module
from foldwise.__main__ import _parse as command_line
from foldwise.__main__ import main
from foldwise.config import check
from foldwise.config.compose import CONF, Scope, compose_all, configure
from foldwise.config.examples import EXAMPLES
from foldwise.config.search_space import search_space
from foldwise.errors import ConfigError
from foldwise.pipeline import STAGES
from foldwise.settings import Settings, plain
from foldwise.storage import content_key

WRONG = [
    # command line, the key that must be named, a part of the advice
    (["modle=small_cnn"], "modle", "did you mean 'model'?"),
    (["model=smal_cnn"], "model=smal_cnn", "did you mean 'small_cnn'?"),
    (["competition=titanic"], "competition=titanic", "statoil"),
    (["fit.epoch=3"], "fit.epoch", "did you mean 'epochs'?"),
    (["fit.epochs=many"], "fit.epochs=many", "integer"),
    (["fit.epochs=2.5"], "fit.epochs=2.5", "integer"),
    (["fit.epochs=0"], "fit.epochs=0", "greater than or equal to 1"),
    (["fit.ema=2"], "fit.ema=2", "less than 1"),
    (["fit.optimizer=adamm"], "fit.optimizer=adamm", "did you mean 'adam'?"),
    (["split.n_folds=1"], "split.n_folds=1", "greater than or equal to 2"),
    (["split.kind=grup"], "split.kind=grup", "did you mean 'group'?"),
    (["model.options.filter=3"], "model.options.filter", "did you mean 'filters'?"),
    (["model.options.dropout=1.5"], "model.options.dropout=1.5", "less than 1"),
    (["model.options.filters=[16,x]"], "model.options.filters.1=x", "integer"),
    (["model.options.padding=sam"], "model.options.padding=sam", "did you mean 'same'?"),
    (["competition.options.crop=2"], "competition.options.crop=2", "greater than or equal to 8"),
    (["competition.options.corp=50"], "competition.options.corp", "did you mean 'crop'?"),
    (["augment=radar", "augment.options.shfit=1"], "augment.options.shfit", "did you mean 'shift'?"),
    (["source=embedded"], "source=embedded", "simulated"),
    (["source=kaggle", "source.n_train=5"], "source.n_train=5", "no options"),
    (["source.n_train=0"], "source.n_train=0", "greater than or equal to 1"),
    (["model=mlp,small_cnn"], "model=mlp,small_cnn", "-m"),
    (["split.n_folds=130"], "split.n_folds=130", "less than or equal to 100"),
    (["fit.learning_rate=inf"], "fit.learning_rate=inf", "finite"),
    (["ensemble.best=3"], "ensemble.best=3", "`foldwise train` does not read"),
    (["oof=theirs.csv"], "oof", "no such setting"),
    (["fit.epochs=[1"], "fit.epochs=[1", "a list such as [1,2]"),
    (["sweep=learning_rat"], "sweep=learning_rat", "did you mean 'learning_rate'?"),
    (["model.name=vgg"], "model.name=vgg", "small_cnn"),
    (["competition.reader=iceberg"], "competition.reader=iceberg", "statoil"),
    (["faces"], "faces", "expected key=value; did you mean competition=faces?"),
    (["smallcnn"], "smallcnn", "did you mean model=small_cnn?"),
    (["quickly"], "quickly", "`foldwise train --help` lists the keys"),
    (["competition", "=", "faces"], "competition", "without blanks around the equals sign"),
    (["fit.epochs", "3"], "fit.epochs", "without blanks around the equals sign"),
    (["--competition", "faces"], "--competition", "a setting is a word without dashes: competition=faces"),
    (["--fit.epochs=3"], "--fit.epochs=3", "a setting is a word without dashes: fit.epochs=3"),
    (["competition.source=kaggle"], "competition.source", "on the command line it is source="),
    (["fit.optimizer=AdamW"], "fit.optimizer=AdamW", "did you mean 'adamw'?"),
    (["epochs=3"], "epochs", "did you mean fit.epochs=3?"),
    (["lr=1e-3"], "lr", "did you mean fit.learning_rate=1e-3?"),
    (["members=[a]"], "members", "no such setting of `foldwise train`; another stage has ensemble.members"),
    (["seed=3"], "seed", "did you mean source.seed=3 or fit.seed=3 or split.seed=3?"),
    (["filters=[4,8]"], "filters", "did you mean model.options.filters=[4,8]?"),
    (["optimizer=adma"], "optimizer", "did you mean fit.optimizer=adam?"),
    (["fit.optimizer=adma"], "fit.optimizer=adma", "did you mean 'adam'?"),
    (["fit.lr=1e-3"], "fit.lr", "did you mean 'learning_rate'?"),
    (["model=ResNet50"], "model=ResNet50", "write model=application model.options.name=ResNet50"),
    (["model=resnet-50"], "model=resnet-50", "write model=application model.options.name=ResNet50"),
    (["--confg"], "--confg", "--config-dir"),
]


@pytest.mark.parametrize(("words", "key", "advice"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_word_is_one_clear_message(words, key, advice, capsys, tmp_path):
    assert main(["train", f"root={tmp_path}", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert key in printed.err
    assert advice in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text", "key", "advice"),
    [
        ("typo", "name: mine\nraeder: folder\n", "competition.raeder", "did you mean 'reader'?"),
        ("option", "name: mine\nreader: folder\noptions: {sied: 3}\n", "competition.options.sied", "'side'"),
        ("type", "name: mine\nreader: folder\noptions: {side: big}\n", "competition.options.side=big", "integer"),
        ("absent", "name: mine\n", "competition.reader", "not set"),
        ("syntax", "name: [mine\n", "syntax.yaml", "expected"),
    ],
)
def test_a_wrong_yaml_is_one_clear_message(name, text, key, advice, capsys, tmp_path):
    (tmp_path / "conf" / "competition").mkdir(parents=True)
    (tmp_path / "conf" / "competition" / f"{name}.yaml").write_text(text)
    words = ["train", "--config-dir", str(tmp_path / "conf"), f"competition={name}", "source=kaggle"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert key in error
    assert advice in error
    assert "Traceback" not in error


def test_the_traceback_is_there_for_those_who_ask(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError):
        main(["train", "fit.epochs=0"])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train", "modle=x"],
        ["train", "fit.ema=2"],
        ["train", "model.options.filter=3"],
        ["train", "model.options.dropout=1.5"],
        ["train", "competition.options.crop=2"],
        ["train", "augment=radar", "augment.options.shfit=1"],
    ],
    ids=" ".join,
)
def test_help_and_errors_import_nothing_slow(words):
    code = (
        "import sys; from foldwise.__main__ import main; main(sys.argv[1:]); "
        "heavy = [m for m in ('tensorflow', 'keras', 'sklearn', 'pandas', 'hydra') if m in sys.modules]; "
        "print(heavy, file=sys.stderr); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_choices_come_from_the_defaults_list_and_the_tuned_recipe(tmp_path):
    (settings,) = compose_all(["competition=statoil", "model=small_cnn"])
    assert settings.augment.name == "radar"
    (settings,) = compose_all(["competition=statoil", "model=small_cnn", "augment=none"])
    assert settings.augment.name == "none"
    (settings,) = compose_all(["competition=statoil", "model=mlp"])
    assert settings.augment.name == "none"
    (settings,) = compose_all(["competition=faces"])
    assert settings.source.kind == "embedded"
    (settings,) = compose_all(["competition=faces", "source=kaggle"])
    assert settings.source.kind == "kaggle"


def test_the_yaml_of_a_competition_chooses_its_source(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for group in ("competition", "experiment"):
        (tmp_path / "conf" / group).mkdir(parents=True)
    mine = tmp_path / "conf" / "competition" / "mine.yaml"
    mine.write_text("name: mine\nreader: folder\nsource: kaggle\noptions: {side: 12}\n")
    assert configure("competition=mine").source.kind == "kaggle"
    assert configure("competition=mine", "source=embedded").source.kind == "embedded"
    recipe = "# @package _global_\ndefaults:\n  - override /competition: mine\n"
    (tmp_path / "conf" / "experiment" / "whole.yaml").write_text(recipe)
    (tmp_path / "conf" / "experiment" / "other.yaml").write_text(recipe + "  - override /source: embedded\n")
    assert configure("experiment=whole").source.kind == "kaggle"
    assert configure("experiment=other").source.kind == "embedded"
    mine.write_text("name: mine\nreader: folder\nsource: kagle\n")
    assert main(["train", "competition=mine"]) == 2
    assert "mine.yaml: source: kagle: no such choice; did you mean 'kaggle'?" in capsys.readouterr().err
    mine.write_text("name: mine\nreader: folder\n")
    assert main(["train", "competition=mine"]) == 2
    assert "write `source: kaggle` into the competition's YAML" in capsys.readouterr().err


def test_free_text_is_no_grammar(tmp_path):
    (settings,) = compose_all(["submit.message=first try, lr 0.1 (it's)", f"root={tmp_path}/a b"])
    assert settings.submit.message == "first try, lr 0.1 (it's)"
    assert settings.root == f"{tmp_path}/a b"


def test_saying_fit_or_tuned_leaves_the_tuned_recipe_out():
    (tuned,) = compose_all(["competition=faces"])
    (plain,) = compose_all(["competition=faces", "fit=default"])
    (none,) = compose_all(["competition=faces", "tuned=null"])
    assert (tuned.fit.epochs, plain.fit.epochs, none.fit.epochs) == (40, 20, 20)


def test_several_values_make_every_combination():
    sweep = list(compose_all(["model=small_cnn,mlp", "fit.learning_rate=1e-3,3e-4"], several=True))
    assert [(s.model.name, s.fit.learning_rate) for s in sweep] == [
        ("small_cnn", 1e-3),
        ("small_cnn", 3e-4),
        ("mlp", 1e-3),
        ("mlp", 3e-4),
    ]


def test_a_sweep_file_is_its_combinations():
    named = list(compose_all(["sweep=learning_rate"], several=True))
    assert len(named) == 4


def test_options_are_filled_in_from_the_signature():
    def build(shape, *, width: int = 3, name: str = "x"):
        return shape, width, name

    assert check.checked_options(build, {"width": 5}, "model.options") == {"width": 5, "name": "x"}


COMPETITIONS = sorted(path.stem for path in (CONF / "competition").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def composes(name, model):
    (settings,) = compose_all([f"competition={name}", f"model={model}"])
    assert (settings.competition.name, settings.model.name) == (name, model)


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_every_competition_and_every_model_composes(number):
    composes(COMPETITIONS[number % len(COMPETITIONS)], MODELS[number])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPETITIONS)
def test_every_competition_composes_with_every_model(name):
    for model in MODELS:
        composes(name, model)


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_composes(path):
    (settings,) = compose_all([f"experiment={path.stem}"])
    assert path.read_text().splitlines()[1].startswith("# foldwise train experiment=")
    written = yaml.safe_load(path.read_text())
    assert settings.fit.epochs == written["fit"]["epochs"]
    options = plain(settings.model.options)
    assert {name: options[name] for name in written["model"]["options"]} == written["model"]["options"]


@pytest.mark.parametrize("path", sorted(CONF.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_file_opens_with_the_command_that_runs_it(path):
    comments = [line for line in path.read_text().splitlines()[:3] if line.startswith("#")]
    assert any("foldwise " in line or "make " in line for line in comments)


def test_the_key_does_not_depend_on_the_order_of_settings():
    # sha256 of {"a":1,"b":[1.5,null]}
    assert content_key({"b": [1.5, None], "a": 1}) == content_key({"a": 1, "b": [1.5, None]}) == "993a7a2ceb87"


SCHEMAS = [one for one in vars(settings_module).values() if is_dataclass(one)]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda one: one.__name__)
def test_every_setting_is_explained_in_its_docstring(schema):
    groups = {field.name for field in fields(Settings)} - {"root", "format", "submission", "by", "details"}
    explained = {field.name for field in fields(schema)} - (groups if schema is Settings else set())
    assert list(settings_module.option_help(schema)) == [f.name for f in fields(schema) if f.name in explained]
    assert all(len(meaning) > 5 for meaning in settings_module.option_help(schema).values() if meaning != "folds")


@pytest.mark.parametrize("name", STAGES)
def test_the_help_of_a_stage_names_what_it_reads_with_defaults(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: foldwise {name} ")
    assert max(map(len, shown.splitlines())) <= 100
    for example in EXAMPLES.get(name, ()):
        assert f"\n  foldwise {example}\n" in shown
    for group in STAGES[name].reads:
        assert f"\n{group}" in shown
    assert ("  split.repeats=1 " in shown) == ("split" in STAGES[name].reads)
    assert ("  fit.class_weights=false " in shown) == ("fit" in STAGES[name].reads)
    words = " ".join(shown.split())
    assert ("passes over the training rows [whole number, at least 1]" in words) == ("fit" in STAGES[name].reads)
    assert ("fit How a network is trained." in words) == ("fit" in STAGES[name].reads)


def test_help_lists_the_options_of_the_choices_on_the_command_line(capsys):
    assert main(["train", "competition=faces", "model=zfnet", "augment=radar", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "competition.options.id_column=id text" in words
    assert "competition.options.group_column=null rows with the same value stay in one fold [text | null]" in words
    assert "augment.options.shift=" in words
    assert "model.options.weights=" in words


@pytest.mark.parametrize("name", STAGES)
def test_the_examples_of_a_stage_are_commands_that_it_takes(name):
    assert len(EXAMPLES[name]) == 2
    for example in EXAMPLES[name]:
        words, flags, _ = command_line(shlex.split(example))
        assert words[0] == name
        if STAGES[name].takes != "words":
            scope = Scope(name, STAGES[name].reads, STAGES[name].group, STAGES[name].word)
            if STAGES[name].takes == "space":
                space = search_space(words[1:], None, scope)
                assert space.settings(space.first())
            else:
                assert list(compose_all(words[1:], None, scope, several="-m" in flags))


def test_a_wrong_yaml_leaves_its_options_out_of_the_help(tmp_path, capsys):
    (tmp_path / "competition").mkdir()
    for name, text in (("syntax", "name: [mine\n"), ("reader", "reader: no\noptions: {side: 3}\n"), ("empty", "")):
        (tmp_path / "competition" / f"{name}.yaml").write_text(text)
        assert main(["prepare", "--help", f"--config-dir={tmp_path}", f"competition={name}"]) == 0
        assert "competition.options={}" in capsys.readouterr().out


def test_help_may_come_first(capsys):
    assert main(["train", "--help"]) == 0
    usual = capsys.readouterr().out
    assert main(["help", "train"]) == 0
    assert capsys.readouterr().out == usual
    assert main(["help"]) == 0
    assert capsys.readouterr().out.startswith("usage: foldwise STAGE")


def test_an_unknown_stage_has_no_help(capsys):
    assert main(["trian", "--help"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


def test_a_users_yamls_are_found_in_the_working_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "competition").mkdir(parents=True)
    mine = tmp_path / "conf" / "competition" / "mine.yaml"
    mine.write_text("name: mine\nreader: folder\noptions: {side: 12}\n")
    (settings,) = compose_all(["competition=mine", "source=kaggle"])
    assert settings.competition.options["side"] == 12
    mine.with_name("statoil.yaml").write_text("name: statoil\nreader: folder\n")
    assert main(["train", "competition=statoil"]) == 2
    assert "have one name; rename yours" in capsys.readouterr().err
