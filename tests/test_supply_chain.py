"""No code runs that a file brings along, no shell, no file of predictable name; every package is pinned by its hash."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# calls that run what a file or a string holds, start a shell, or make a temporary file whose name can be guessed
FORBIDDEN = (
    *(
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "os.spawnl",
        "os.execv",
        "subprocess.getoutput",
    ),
    *("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "dill.load", "joblib.load"),
    *("torch.load", "keras.models.load_model", "keras.saving.load_model", "pandas.read_pickle", "pd.read_pickle"),
    *("yaml.full_load", "yaml.unsafe_load", "tempfile.mktemp"),
)
OPTIONS = {"shell": True, "allow_pickle": True, "safe_mode": False, "weights_only": False, "verify": False}


def forbidden_calls(text):
    """Return the lines of calls that are forbidden, with their names."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = [
                one.arg
                for one in node.keywords
                if isinstance(one.value, ast.Constant) and OPTIONS.get(str(one.arg), ...) is one.value.value
            ]
            found += [f"{node.lineno}: {name}"] if name in FORBIDDEN or _loads_objects(node, name) else []
            found += [f"{node.lineno}: {name}({option}=...)" for option in options]
    return found


def _loads_objects(node, name):
    """Whether a call reads YAML by another loader than the safe one, which is named on the spot."""
    return name == "yaml.load" and "safeloader" not in ast.unparse(node).lower().replace("_", "")


@pytest.mark.parametrize("folder", ["src", "benchmarks", "docs", "notebooks"])
def test_no_code_of_a_file_is_run(folder):
    found = {str(path): forbidden_calls(path.read_text()) for path in (ROOT / folder).rglob("*.py")}
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = pickle.load(file)", ["1: pickle.load"]),
        ("\nsubprocess.run(words, shell=True)", ["2: subprocess.run(shell=...)"]),
        ("np.load(path, allow_pickle=True)", ["1: np.load(allow_pickle=...)"]),
        ("eval(eval('1'))", ["1: eval", "1: eval"]),
        ("yaml.load(text, yaml.SafeLoader), yaml.load(text, Loader)", ["1: yaml.load"]),
        ("np.load(path, allow_pickle=False); model.evaluate(x); yaml.safe_load(text); re.compile('a')", []),
    ],
)
def test_forbidden_calls_are_found(text, found):
    assert forbidden_calls(text) == found


def test_every_package_is_pinned_with_hashes():
    text = (ROOT / "requirements.lock").read_text()
    packages = re.split(r"\n(?=\S)", text)
    assert len(packages) > 100
    for package in packages:
        assert re.match(r"[a-z0-9-]+==[^\s;]+", package), package.splitlines()[0]
        assert "--hash=sha256:" in package, package.splitlines()[0]


def test_setup_refuses_a_package_without_its_hash():
    assert "uv pip sync --quiet --system-certs --require-hashes" in (ROOT / "Makefile").read_text()


def test_every_direct_dependency_is_pinned_as_in_the_lock():
    direct = re.findall(r"^([A-Za-z0-9-]+)==([0-9.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert len(direct) > 25
    assert {name: version for name, version in direct if locked[name.lower()] != version} == {}
