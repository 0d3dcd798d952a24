"""What the pages say holds: their Python runs, their commands parse, their links lead.

The blocks of a page run in order, in one namespace. What a page takes for granted, such
as a compiled `model`, is in `GIVEN`. A block after `<!-- JAX -->` is for that backend
alone.
"""

import json
import re
import shlex
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import pytest
import typer.main
from scipy import stats
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


def blocks(page, language):
    """The blocks of a page: for which backend, what, and in which line."""
    text = page.read_text("utf-8")
    return [
        (found[1] and BACKENDS[found[1]], found[3], text.count("\n", 0, found.start(3)))
        for found in _BLOCK.finditer(text)
        if found[2] == language
    ]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def pages_with(language):
    """One with blocks for each backend runs on each, the others on the first alone."""
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


def model_and_images():
    """A compiled network with a convolution called "mask", and images for it."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(3, 3, padding="same", name="mask"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 8, 8, 3)).astype("float32")
    return {"keras": keras, "model": model, "x": x, "y": np.arange(64) % 10}


def epochs_of_a_study():
    """The file that a report of `runs/quick` has."""
    folder = Path("runs/quick/report")
    folder.mkdir(parents=True)
    Analysis.of(study()).epochs.write_csv(folder / "epochs.csv")
    return {}


GIVEN = {
    "docs/index.md": nothing,
    "docs/tutorial.md": nothing,
    "docs/reference/results.md": epochs_of_a_study,
}


# What torchrun tells the only process.
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}


@pytest.fixture
def as_before(tmp_path, monkeypatch):
    """An empty folder to run in, and Keras's settings as they were."""
    policy = keras.config.dtype_policy()
    monkeypatch.chdir(tmp_path)
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    yield
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(None)


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_blocks_of_a_page_run(page, as_before):
    namespace = GIVEN.get(name_of(page), model_and_images)()
    namespace["__name__"] = "__main__"
    for backend, source, line in blocks(page, "python"):
        if backend in (None, keras.backend.backend()):
            # As in the page, so that an error names its line.
            code = compile("\n" * line + source, str(page), "exec")
            exec(code, namespace)


@any_backend
@pytest.mark.parametrize("page", pages_with("sh"))
def test_the_commands_of_a_page_are_commands(page, as_before, capsys):
    for _, source, _ in blocks(page, "sh"):
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
    """Read as the command line reads it; a study names its runs, and makes none."""
    if arguments[0] == "study":
        assert cli.app([*arguments, "--list"]) == 0
        return
    command = typer.main.get_command(cli.cli).commands[arguments[0]]
    command.make_context(arguments[0], with_ray_address(arguments[1:]))


@any_backend
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" in target:
            continue
        figure = re.fullmatch(r"(?:\.\./)*results/([\w-]+\.svg)", target)
        if figure:  # docs/hooks.py brings it into the site
            assert list(RESULTS.rglob(figure[1])), target
        else:
            assert (page.parent / target).exists(), target


@any_backend
def test_readme_fits_on_one_page():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def rows(page):
    """The cells of each row of the tables of a page."""
    lines = page.read_text("utf-8").splitlines()
    return [[c.strip() for c in li.split("|")[1:-1]] for li in lines if li[:1] == "|"]


@pytest.fixture(scope="module")
def results():
    """The script that writes the numbers of the study into the pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield __import__("results")
    sys.modules.pop("results")


@any_backend
def test_written_results(results):
    """Each part of a page is what the script writes, and no part is left out."""
    analysis = results.read()
    texts = [(ROOT / "docs" / name).read_text("utf-8") for name in results.PAGES]
    for name, text in zip(results.PAGES, texts, strict=True):
        assert text == results.page(name, analysis)
    marks = re.findall(
        r"<!-- ([\w-]+) -->\n\n.+?\n\n<!-- end -->", "".join(texts), re.S
    )
    assert sorted(marks) == sorted(results.parts(analysis))
    assert (RESULTS / "tables.md").read_text("utf-8") == results.tables(analysis)


@any_backend
def test_results_are_those_of_the_runs():
    """The gains on the page, from the files of the runs alone."""
    accuracies = {}
    for path in (RESULTS / "cpu").glob("*/result.json"):
        spec = json.loads(path.with_name("spec.json").read_text("utf-8"))
        rate = "the paper's" if spec["learning_rate"] == 0.01 else "other"
        data = {"cifar100": "CIFAR-100", "animals10": "Animals-10"}[spec["dataset"]]
        task = (data, rate, spec["optimizer"], spec["seed"])
        result = json.loads(path.read_text("utf-8"))
        accuracies[*task, spec["mean_over"]] = result["metrics"]["accuracy"]
    gains = defaultdict(lambda: defaultdict(list))
    for (data, rate, optimizer, seed, arm), accuracy in accuracies.items():
        if arm is not None:
            plain = accuracies[data, rate, optimizer, seed, None]
            gains[arm, data, rate][seed].append(100 * (accuracy - plain))
    expected = {}
    for (arm, data, rate), by_seed in gains.items():
        means = [np.mean(of_seed) for of_seed in by_seed.values()]
        interval = stats.ttest_1samp(means, 0).confidence_interval()
        signs = [np.sign(gain) for of_seed in by_seed.values() for gain in of_seed]
        expected[arm, data, rate, f"{len(means)} seeds"] = (
            f"{np.mean(means):+.2f}",
            f"{interval.low:+.2f} to {interval.high:+.2f}",
            " / ".join(str(signs.count(sign)) for sign in (1, 0, -1)),
        )
    rates = r"(the paper's|other) learning rates?"
    name = rf"WGD (\w+) \(resnet8 on (\S+) at {rates}, (\d seeds)\)"
    found = {}
    for row in rows(ROOT / "docs/results.md"):
        place = re.fullmatch(name, row[0])
        if place and "." in row[2] and len(row[2]) == 5:  # points, and not nats
            found[place.groups()] = (row[2], row[3], row[6])
    assert found == expected
    assert len(found) == 6


@any_backend
@pytest.mark.parametrize(
    "name", ["README.md", "docs/index.md", "docs/how-to/choose.md"]
)
def test_quoted_numbers_are_in_the_results(name):
    """Gains, p values and accuracies that a page repeats stand in docs/results.md."""
    text = (ROOT / name).read_text("utf-8").partition("\n## Speed")[0]
    results = (ROOT / "docs/results.md").read_text("utf-8")
    quoted = re.findall(r"[+-]\d\.\d\d|\b0\.\d{3}\b|\b\d\d\.\d\d\b", text)
    missing = {number for number in quoted if number not in results}
    assert not missing


@any_backend
def test_the_site_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in DOCS}
    assert sorted(re.findall(r"[\w/-]+\.md", nav)) == sorted(pages)


@any_backend
@pytest.mark.parametrize(
    ("script", "write", "file"),
    [
        ("commands", "page", "reference/command-line.md"),
        ("means", "drawing", "images/means.svg"),
    ],
)
def test_what_scripts_have_written_is_as_they_write_it(
    script, write, file, monkeypatch
):
    monkeypatch.syspath_prepend(ROOT / "docs")
    module = __import__(script)
    sys.modules.pop(script)
    assert (ROOT / "docs" / file).read_text("utf-8") == getattr(module, write)()


@any_backend
def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs/reference/python.md").read_text("utf-8")
    named = set(re.findall(r"(?m)^::: keras_wgd\.(\w+)$", page))
    assert named == set(keras_wgd.__all__) - {"WGD"}


@any_backend
def test_the_tests_that_are_named_exist():
    named = re.findall(
        r"`(test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs/trust.md").read_text()
    )
    assert len(named) > 30
    for file, test in named:
        text = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in text, (file, test)


def described(page, head):
    """The first cells of the table below a head."""
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
