"""The pages agree with the code: Python runs, commands parse, links lead to a file.

The Python blocks of a page run in order, in one namespace. `GIVEN` provides what a page
assumes, such as a compiled `model`. A block after `<!-- JAX -->` is for that backend
only. A text block is what the blocks before it print.
"""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
import typer.main
from support.studies import study

import keras_wgd
from keras_wgd import cli
from keras_wgd.cli.studies import with_ray_address
from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.analysis.analysis import Analysis

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "examples/README.md", "CONTRIBUTING.md")),
    *DOCS,
]
RESULTS = ROOT / "examples/results"
BACKENDS = {"JAX": "jax", "TensorFlow": "tensorflow", "PyTorch": "torch"}

_BLOCK = re.compile(
    r"^(?:<!-- (\w+) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
any_backend = pytest.mark.any_backend


def blocks(page, *languages):
    """The blocks of a page: their backend, language, source and line."""
    text = page.read_text("utf-8")
    return [
        (
            found[1] and BACKENDS[found[1]],
            found[2],
            found[3],
            text.count("\n", 0, found.start(3)),
        )
        for found in _BLOCK.finditer(text)
        if found[2] in languages
    ]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def pages_with(language):
    """Pages with blocks for each backend run on each, the others on the first only."""
    pages = []
    for page in PAGES:
        found = blocks(page, language)
        if found:
            everywhere = any(backend for backend, *_ in found)
            marks = () if everywhere else any_backend
            pages.append(pytest.param(page, id=name_of(page), marks=marks))
    return pages


def nothing():
    return {}


def network():
    """A network with a convolution called "mask"."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(3, 3, padding="same", name="mask"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="head"),
        ]
    )


def model_and_images():
    """A network, compiled and not, and images for it."""
    keras.utils.set_random_seed(0)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 8, 8, 3)).astype("float32")
    y = np.arange(64) % 10
    return {
        "keras": keras,
        "model": model,
        "build_model": network,
        "x": x,
        "y": y,
        "x_val": -x,
        "y_val": y,
    }


def epochs_of_a_study():
    """A file of the report of `runs/quick`."""
    folder = Path("runs/quick/report")
    folder.mkdir(parents=True)
    Analysis.of(study()).epochs.write_csv(folder / "epochs.csv")
    return {}


GIVEN = {
    "docs/index.md": nothing,
    "docs/tutorial.md": nothing,
    "docs/reference/results.md": epochs_of_a_study,
}


# What torchrun sets for a single process.
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}


@pytest.fixture
def as_before(tmp_path, monkeypatch):
    """Run in an empty folder, number layers from zero, and restore Keras's settings."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    monkeypatch.chdir(tmp_path)
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    yield
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(None)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks(page, as_before, capsys):
    namespace = GIVEN.get(name_of(page), model_and_images)()
    namespace["__name__"] = "__main__"
    for backend, language, source, line in blocks(page, "python", "text"):
        if language == "text":
            printed = capsys.readouterr().out
            assert source in re.sub(" +\n", "\n", printed)  # without padding
        elif backend in (None, keras.backend.backend()):
            # With the page's line numbers, for tracebacks.
            code = compile("\n" * line + source, str(page), "exec")
            exec(code, namespace)


@any_backend
@pytest.mark.parametrize("page", pages_with("sh"))
def test_shell_commands(page, as_before):
    for _, _, source, _ in blocks(page, "sh"):
        for line in source.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                check_command(words, line)


def check_command(words, line):
    program, *arguments = words
    if program == "keras-wgd":
        check_keras_wgd(arguments)
    elif program == "make":
        targets = re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets), line
    elif program == "python":
        assert arguments[0] == "train.py" or (ROOT / arguments[0]).is_file(), line
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"keras-wgd\[(.*?)\]", line):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), line
    else:
        assert program in {"export", "pytest", "torchrun"}, line


def check_keras_wgd(arguments):
    """Parse a command; of a study, list the runs."""
    if arguments[0] == "study":
        assert cli.app([*arguments, "--list"]) == 0
        return
    command = typer.main.get_command(cli.cli).commands[arguments[0]]
    command.make_context(arguments[0], with_ray_address(arguments[1:]))


@any_backend
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    text = page.read_text("utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)[^)]*\)", text):
        if "://" in target:
            continue
        figure = re.fullmatch(r"(?:\.\./)*results/([\w-]+\.svg)", target)
        if figure:  # docs/hooks.py copies it into the site
            assert list(RESULTS.rglob(figure[1])), target
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), (target, anchor)


def anchors(page):
    """The anchors of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


@any_backend
def test_readme_length():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@any_backend
@pytest.mark.parametrize(
    "name", ["README.md", "docs/index.md", "docs/how-to/choose.md"]
)
def test_quoted_numbers_are_in_the_results(name):
    """Every gain, p value and accuracy on a page is in docs/results.md."""
    text = (ROOT / name).read_text("utf-8").partition("\n## Speed")[0]
    for *_, source, _ in blocks(ROOT / name, "console"):
        text = text.replace(source, "")  # the output of an example
    results = (ROOT / "docs/results.md").read_text("utf-8")
    quoted = re.findall(r"[+-]\d\.\d\d|\b0\.\d{3}\b|\b\d\d\.\d\d\b", text)
    missing = {number for number in quoted if number not in results}
    assert not missing


@any_backend
def test_output_of_the_example_is_the_same_on_both_pages():
    ((*_, quoted, _),) = blocks(ROOT / "README.md", "console")
    ((*_, printed, _),) = blocks(ROOT / "docs/how-to/compare.md", "console")
    assert printed.startswith(quoted)


@any_backend
def test_site_navigation_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in DOCS}
    assert sorted(re.findall(r"[\w/-]+\.md", nav)) == sorted(pages)


@any_backend
@pytest.mark.parametrize(
    ("script", "write", "file"),
    [
        ("commands", "page", "reference/command-line.md"),
        ("commands", "results", "reference/results.md"),
        ("means", "drawing", "images/means.svg"),
    ],
)
def test_generated_files_are_up_to_date(script, write, file, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    module = __import__(script)
    sys.modules.pop(script)
    assert (ROOT / "docs" / file).read_text("utf-8") == getattr(module, write)()


@any_backend
def test_reference_has_every_public_name():
    page = (ROOT / "docs/reference/python.md").read_text("utf-8")
    named = set(re.findall(r"(?m)^::: keras_wgd\.(\w+)$", page))
    assert named == set(keras_wgd.__all__) - {"WGD"}


@any_backend
def test_named_tests_exist():
    """`file.py`, `file.py::test`, and `::test` of the file that was named before."""
    trust = (ROOT / "docs/trust.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)?(?:::(\w+))?`", trust)
    named = [pair for pair in named if any(pair)]
    assert len(named) > 30
    text = ""
    for file, test in named:
        if file:
            text = (ROOT / "tests" / file).read_text("utf-8")
        assert not test or f"def {test}(" in text, (file, test)


def described(page, head):
    """The first column of the table below a heading."""
    text = page.read_text("utf-8").partition(f"\n## {head}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


@any_backend
def test_every_column_is_described(tmp_path):
    page = ROOT / "docs/reference/results.md"
    files = Analysis.of(study()).write(tmp_path)
    keys = described(page, "What identifies a run")
    for path in files:
        written = path.read_text("utf-8").partition("\n")[0].split(",")
        columns = described(page, path.name)
        if path.name == "summary.csv":
            expected = [key for key in keys if key != "seed"]
            for name in columns:
                metrics = frames.MEASURES if "METRIC" in name else [""]
                expected += [name.replace("METRIC", metric) for metric in metrics]
            assert sorted(written) == sorted(expected)
        else:
            assert written == [*keys, *columns]
