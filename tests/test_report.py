import contextlib
import dataclasses
import html.parser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats
from support.hostile import HOSTILE, file_name, replaced
from support.studies import SPEC, result_of, runs_of, study

from keras_wgd.cli import display
from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import collection, results
from keras_wgd.files import printable
from keras_wgd.report import report, verdict

pytestmark = pytest.mark.any_backend

ENVIRONMENT = {
    "backend": "jax",
    "versions": {"keras": "3.15.1", "jax": "0.10.2"},
    "machine": "Linux x86_64",
    "cores": 2,
    "threads": None,
    "accelerators": ["GPU"],
    "keras": {"floatx": "float32"},
    "settings": {"XLA_FLAGS": "--xla_gpu_autotune_level=0"},
}


class Reader(html.parser.HTMLParser):
    """The elements of a page, and the texts outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        inside = self.tags and self.tags[-1][0] == "script" and self.cdata_elem
        (self.scripts if inside else self.texts).append(data)


def hostile_results():
    environment = {str(number): text for number, text in enumerate(HOSTILE)}
    environment |= dict.fromkeys(HOSTILE, 1) | {"versions": {"keras": "3.15"}}
    environment["settings"] = {text: text for text in HOSTILE}
    first, *others = study()
    return [dataclasses.replace(first, environment=environment), *others]


def write_hostile(folder):
    report.write(folder, hostile_results(), [*HOSTILE, "caf\udce9 is missing"])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_hostile(folder)
    return folder


@pytest.fixture(scope="module")
def reader(out):
    return Reader((out / "report.html").read_text("utf-8"))


def test_what_is_written_is_returned(tmp_path):
    written = report.write(tmp_path / "a" / "b", [result_of()], [])
    files = [path for path in (tmp_path / "a" / "b").rglob("*") if path.is_file()]
    assert sorted(written) == sorted(files)
    names = {path.name for path in written}
    assert {"report.html", "tables.md"} < names
    assert {"runs.csv", "epochs.csv", "summary.csv"} < names
    assert "accuracy-densenet121-cifar100.svg" in names


def test_hostile_strings_are_text(out, reader):
    page = (out / "report.html").read_text("utf-8")
    for text in HOSTILE[:4]:
        assert text not in page
    for text in HOSTILE:
        assert reader.texts.count(printable(text)) == 4  # a name, two values, a problem
    kinds = [tag for tag, _ in reader.tags]
    assert kinds.count("script") == 3
    assert "img" not in kinds
    assert not any(name.startswith("on") for _, found in reader.tags for name in found)
    assert "caf\\udce9 is missing" in reader.texts


def read_with(folder, text):
    """What is read of a run with the text in each place of its files, in turn."""
    spec = RunSpec(dataset="digits", model="resnet8", optimizer="radam", epochs=1)
    whole = result_of(spec, "filters", environment=ENVIRONMENT, confusion=[[1]])
    run = results.write(folder, whole)
    found, problems = [], []
    for name in ("spec.json", "result.json"):
        before = (run / name).read_text()
        for tree in replaced(json.loads(before), text):
            (run / name).write_text(json.dumps(tree))
            with contextlib.suppress(ValueError, OSError):  # no run, or no name
                run = run.rename(folder / RunSpec.from_dict(tree).id)
            read, lines = collection.collect([folder])
            assert len(read) + len(lines) == 1
            problems += lines
            for result in read:  # each as another run, so that all are on one page
                spec = dataclasses.replace(result.spec, seed=len(found))
                found.append(dataclasses.replace(result, spec=spec))
        (run / name).write_text(before)
    return found, problems


def without_environments(found):
    return [(r.backend, dataclasses.replace(r, environment={})) for r in found]


def terminal(capsys, show, *what):
    """What is printed, but for the ends of lines."""
    show(Console(), *what)
    return capsys.readouterr().out.replace("\n", "")


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    found, problems = read_with(tmp_path_factory.mktemp("harmless"), "a word")
    return found, Reader(report.page(found, problems, {}))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_no_word_of_a_stranger_is_more_than_text(tmp_path, capsys, harmless, text):
    found, problems = read_with(tmp_path, text)
    assert all(line.isprintable() and len(line) < 1100 for line in problems)
    # Tables, charts and verdict know no more of an environment than the backend.
    usual_found, usual = harmless
    assert without_environments(found) == without_environments(usual_found)
    reader = Reader(report.page(found, problems, {}))
    assert sorted(map(str, reader.tags)) == sorted(map(str, usual.tags))
    assert reader.scripts == usual.scripts
    assert "".join(reader.texts).replace("\n", "").isprintable()
    assert printable(text) in reader.texts
    assert terminal(capsys, display.print_problems, problems).isprintable()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_no_name_of_a_strangers_folder_is_more_than_text(tmp_path, capsys, text):
    folder = Path(os.fsdecode(bytes(tmp_path / "study") + file_name(text)))
    run = folder / os.fsdecode(file_name(text))
    run.mkdir(parents=True)
    found, problems = collection.collect([folder])
    assert found == []
    assert problems == [printable(f"{run}/spec.json is missing")]
    assert terminal(capsys, display.print_problems, problems).isprintable()
    assert terminal(capsys, display.print_paths, [run]).isprintable()


def test_nothing_is_loaded_from_anywhere(reader):
    for tag, attributes in reader.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes), tag
    policy = next(a["content"] for _, a in reader.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_the_same_results_give_the_same_bytes(out, tmp_path):
    code = (
        "import pathlib, sys, test_report;"
        "test_report.write_hostile(pathlib.Path(sys.argv[1]))"
    )
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": tests}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, env=environment
    )
    names = {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    assert {
        p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()
    } == names
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_who_reads_results_loads_neither_keras_nor_what_draws():
    code = (
        "import sys, keras_wgd.experiments.analysis.frames;"
        "heavy = {'altair', 'vl_convert', 'scipy', 'jinja2', 'keras'};"
        "assert not heavy & {*sys.modules};"
        "import keras_wgd.report.report; assert 'keras' not in sys.modules;"
        "import keras_wgd.pictures; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_folders_of_several_machines_are_read_as_one(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    other = dataclasses.replace(SPEC, seed=1)
    results.write(here, result_of(confusion=[[1, 4], [5, 0]]))
    results.write(there, result_of(confusion=[[1, 4], [4, 1]]))
    results.write(there, result_of(other, confusion=[[1, 1], [1, 1]]))
    (there / "holiday").mkdir()
    found, problems = collection.collect([here, there, here])
    assert [r.spec for r in found] == [SPEC, other]
    assert found[0].metrics["accuracy"] == 0.1
    assert problems == [
        f"{there / 'holiday' / 'spec.json'} is missing",
        f"{there / SPEC.id} is the same run as that of {here}",
    ]


def test_the_same_runs_on_two_backends_are_both_in_the_report(tmp_path):
    folders = [tmp_path / backend for backend in ("jax", "torch")]
    for folder in folders:
        folder.mkdir()
        environment = {"backend": folder.name}
        results.write(folder, result_of(environment=environment, confusion=[[1]]))
    found, problems = collection.collect(folders)
    assert [r.backend for r in found] == ["jax", "torch"]
    assert problems == []


def test_the_same_runs_with_two_settings_are_both_in_the_report(tmp_path):
    folders = [tmp_path / name for name in ("usual", "x64")]
    for folder, record in zip(folders, ({}, {"JAX_ENABLE_X64": "1"}), strict=True):
        folder.mkdir()
        environment = {"backend": "jax", "settings": record}
        results.write(folder, result_of(environment=environment, confusion=[[1]]))
    found, problems = collection.collect(folders)
    assert [r.settings for r in found] == [{}, {"JAX_ENABLE_X64": "1"}]
    assert problems == []


def test_what_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("nope\x1b", "file"):
        with pytest.raises(ValueError, match=r"^folders must be.*, which is no folder"):
            collection.collect([tmp_path, tmp_path / name])


def test_a_report_is_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "figures").symlink_to(tmp_path / "elsewhere")
    for name in ("report", "other"):
        with pytest.raises(
            ValueError, match=r"^out must be .*link\. Received: .*link$"
        ):
            report.write(tmp_path / name, [result_of()], [])
    assert not list((tmp_path / "elsewhere").iterdir())


STEADY = {
    ("radam", "plain"): [0.50, 0.51, 0.52],
    ("radam", "filters"): [0.52, 0.535, 0.545],
    ("radam", "fan_in"): [0.48, 0.485, 0.505],
    ("radam", "kernels"): [0.50, 0.53, 0.50],
}
PLACE = "DenseNet121 on CIFAR-100 at the paper's learning rate"


def test_the_verdict_is_for_it_against_it_or_neither():
    first, filters, fan_in, _ = verdict.words(frames.frame(runs_of(STEADY)))
    assert first == (
        f"With {PLACE}, WGD filters gains accuracy in these runs, WGD fan_in loses "
        "accuracy in these runs and these runs do not tell whether WGD kernels helps."
    )
    assert filters.startswith(
        f"With {PLACE}, WGD filters: of 3 pairs of runs the accuracy is higher with it "
        "in 3, lower in 0 and the same in 0. The gain is +2.33 percentage points "
        "(n = 3 seeds; 95 % interval +1.62 to +3.05; p = 0.005; p = 0.015 when "
        "adjusted for 3 tests). The loss in training is"
    )
    assert "The gain is -2.00 percentage points" in fan_in


def test_the_verdict_is_one_for_each_group():
    tuned = dataclasses.replace(SPEC, learning_rate=3e-3)
    short = dataclasses.replace(SPEC, epochs=2)
    gain = {key: STEADY[key] for key in [("radam", "plain"), ("radam", "filters")]}
    more = gain | {
        ("adam", arm): [accuracy + 0.1 for accuracy in row]
        for (_, arm), row in gain.items()
    }
    lost = {("radam", "plain"): [0.5, 0.5, 0.5], ("radam", "filters"): [0.4, 0.41, 0.4]}
    same = {("radam", "plain"): [0.5, 0.5], ("radam", "filters"): [0.49, 0.51]}
    found = [*runs_of(more), *runs_of(lost, tuned), *runs_of(same, short)]
    found.append(result_of(arm="kernels"))  # one pair, and so no test
    first, *rest = verdict.words(frames.frame(found))
    assert first == (
        "WGD gains accuracy in 1 of 4 comparisons and loses accuracy in 1; in the "
        "other 2 these runs do not tell."
    )
    place = "DenseNet121 on CIFAR-100 ({}) at {}, {}:"
    paper, other = "the paper's learning rate", "other learning rates"
    groups = [  # with the most pairs first: 10 in 4 epochs, 2 in 2
        place.format("4 epochs", paper, "WGD filters"),
        place.format("4 epochs", paper, "WGD kernels"),
        place.format("4 epochs", other, "WGD filters"),
        place.format("2 epochs", paper, "WGD filters"),
    ]
    for words, group in zip(rest, groups, strict=True):
        assert words.startswith(f"With {group} of ")
    paper_words, _, own_words, short_words = rest
    assert "adjusted for 3 tests" in short_words
    assert "Too few epochs" in short_words
    assert "of 6 pairs of runs" in paper_words
    assert "Averaged first over the 2 optimizers and learning rates" in paper_words
    assert "of 3 pairs of runs" in own_words


# Nearly a gain: shown by one test alone, and not by one of three.
NEARLY = {
    ("radam", "plain"): [0.50, 0.51, 0.52],
    ("radam", "filters"): [0.52, 0.54, 0.535],
    ("radam", "fan_in"): [0.48, 0.53, 0.51],
    ("radam", "kernels"): [0.50, 0.53, 0.50],
}


def test_a_gain_that_one_test_alone_would_show_is_not_shown():
    plain, *arms = NEARLY.values()
    p = [stats.ttest_rel(row, plain).pvalue for row in arms]
    adjusted = stats.false_discovery_control(p)
    assert p[0] < 0.05 < adjusted[0] < 0.5
    first, filters, *_ = verdict.words(frames.frame(runs_of(NEARLY)))
    assert first == (
        f"With {PLACE}, these runs do not tell whether WGD filters, WGD fan_in or WGD "
        "kernels helps."
    )
    assert f"p = {p[0]:.3f}; p = {adjusted[0]:.3f} when adjusted for 3 tests" in filters


# By arm, the roughness of each seed. That of filters is lower for certain, that of
# kernels nearly always higher, and that of fan_in higher by a single test alone.
ROUGH = {
    "plain": [0.20, 0.21, 0.22, 0.23],
    "filters": [0.10, 0.112, 0.121, 0.13],
    "fan_in": [0.21, 0.23, 0.225, 0.251],
    "kernels": [0.21, 0.20, 0.25, 0.24],
}


def rough_runs(roughness):
    """Runs whose training has this roughness, `{arm: [of seed 0, of seed 1, ...]}`."""
    found = [
        result_of(
            dataclasses.replace(SPEC, epochs=3, seed=seed),
            arm,
            losses=[2.0, 2.0 - value / 2, 2.0],
        )
        for arm, row in roughness.items()
        for seed, value in enumerate(row)
    ]
    straight = {"test_loss": [3.0, 2.0, 1.0]}
    return [dataclasses.replace(r, curves=r.curves | straight) for r in found]


def test_smoothness_is_judged_as_accuracy_is():
    plain, *arms = ROUGH.values()
    p = [stats.ttest_rel(row, plain).pvalue for row in arms]
    adjusted = stats.false_discovery_control(p)
    assert adjusted[0] < 0.001
    assert p[1] < 0.05 < adjusted[1]
    _, filters, fan_in, kernels = verdict.words(frames.frame(rough_runs(ROUGH)))
    assert "The loss in training is smoother with it in 4 of 4 pairs; its" in filters
    assert "its roughness changes by -0.0993 nats per epoch (n = 4 seeds;" in filters
    assert filters.endswith(
        "p < 0.001; p < 0.001 when adjusted for 3 tests). Training is smoother with it "
        "in these runs."
    )
    assert (
        "smoother with it in 0 of 4 pairs; its roughness changes by +0.0140" in fan_in
    )
    assert fan_in.endswith(
        f"p = {p[1]:.3f}; p = {adjusted[1]:.3f} when adjusted for 3 tests). These runs "
        "do not tell whether training is smoother with it."
    )
    assert "smoother with it in 1 of 4 pairs" in kernels


def test_rougher_training_is_said_to_be_rougher():
    turned = {"plain": ROUGH["filters"], "filters": ROUGH["plain"]}
    _, filters = verdict.words(frames.frame(rough_runs(turned)))
    assert (
        "smoother with it in 0 of 4 pairs; its roughness changes by +0.0993" in filters
    )
    assert filters.endswith("Training is rougher with it in these runs.")
    assert "adjusted" not in filters


def test_one_seed_gives_no_verdict():
    rows = {key: row[:1] for key, row in STEADY.items()}
    first, filters, *_ = verdict.words(frames.frame(runs_of(rows)))
    assert first.endswith(
        ", these runs do not tell whether WGD filters, WGD fan_in or WGD kernels helps."
    )
    assert "of 1 pair of runs" in filters
    assert "(n = 1 seed; there is no interval of one)" in filters


def test_seeds_with_nothing_in_common_have_no_mean():
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed, optimizer=optimizer), arm)
        for seed, optimizer in enumerate(("adam", "radam"))
        for arm in ("plain", "filters")
    ]
    _, filters = verdict.words(frames.frame(found))
    assert "No optimizer and learning rate has a pair for every seed." in filters
    assert "its roughness changes by an unknown amount" in filters


def test_without_pairs_there_is_nothing_to_compare():
    (words,) = verdict.words(frames.frame([result_of()]))
    assert words.startswith("No run with WGD has beside it the plain run")


def test_several_groups_without_a_significant_difference():
    short = dataclasses.replace(SPEC, epochs=2)
    rows = {("radam", "plain"): [0.5, 0.6], ("radam", "filters"): [0.6, 0.5]}
    first, *_ = verdict.words(frames.frame([*runs_of(rows), *runs_of(rows, short)]))
    assert first == (
        "These runs do not tell whether WGD changes the accuracy: in none of 2 "
        "comparisons is the difference significant (p adjusted below 0.05)."
    )


def test_runs_that_diverged_are_in_the_verdict():
    words = verdict.words(frames.frame(study()))
    assert words[-1] == (
        "1 of 15 runs diverged: a loss of theirs is not finite (1 plain)."
    )
    diverged = "1 not compared because a run diverged"
    assert [diverged in paragraph for paragraph in words[1:-1]] == [
        "at other learning rates" in paragraph for paragraph in words[1:-1]
    ]


def test_the_papers_claim_is_counted_from_its_tables():
    assert verdict.paper_words().startswith(
        "The paper reports 24 pairs of runs (Tables 3 to 8). With WGD the accuracy is "
        "higher in 23 of them, by 3.60 percentage points on average (-0.14 to +15.07), "
        "and the loss is lower in 23."
    )
