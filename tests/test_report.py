import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support.hostile import HOSTILE, file_name, replaced
from support.markup import Reader
from support.results import result_of
from support.studies import SPEC, study

from keras_wgd import pictures
from keras_wgd.cli import display
from keras_wgd.experiments.analysis.analysis import Analysis
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


def page_of(results, problems):
    analysis = Analysis.of(results)
    judged = verdict.judge(analysis.runs)
    vega = pictures.bundle(pictures.vega_lite())
    return report.page(analysis, judged, problems, {}, vega)


def hostile_results():
    environment = {str(number): text for number, text in enumerate(HOSTILE)}
    environment |= dict.fromkeys(HOSTILE, 1) | {"versions": {"keras": "3.15"}}
    environment["settings"] = {text: text for text in HOSTILE}
    first, *others = study()
    return [dataclasses.replace(first, environment=environment), *others]


def write_hostile(folder):
    report.write(
        folder, Analysis.of(hostile_results()), [*HOSTILE, "caf\udce9 is missing"]
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_hostile(folder)
    return folder


@pytest.fixture(scope="module")
def reader(out):
    return Reader((out / "report.html").read_text("utf-8"))


def test_written_files(tmp_path):
    written = report.write(tmp_path / "a" / "b", Analysis.of([result_of(SPEC)]), [])
    files = [path for path in (tmp_path / "a" / "b").rglob("*") if path.is_file()]
    assert sorted(written) == sorted(files)
    names = {path.name for path in written}
    assert {"report.html", "verdict.md", "tables.md"} < names
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
    return found, Reader(page_of(found, problems))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_hostile_strings_in_a_runs_files_are_text(tmp_path, capsys, harmless, text):
    found, problems = read_with(tmp_path, text)
    assert all(line.isprintable() and len(line) < 1100 for line in problems)
    # Tables, charts and verdict know no more of an environment than the backend.
    usual_found, usual = harmless
    assert without_environments(found) == without_environments(usual_found)
    reader = Reader(page_of(found, problems))
    assert sorted(map(str, reader.tags)) == sorted(map(str, usual.tags))
    assert reader.scripts == usual.scripts
    assert "".join(reader.texts).replace("\n", "").isprintable()
    assert printable(text) in reader.texts
    assert terminal(capsys, display.print_problems, problems).isprintable()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_hostile_names_of_folders_are_text(tmp_path, capsys, text):
    folder = Path(os.fsdecode(bytes(tmp_path / "study") + file_name(text)))
    run = folder / os.fsdecode(file_name(text))
    run.mkdir(parents=True)
    found, problems = collection.collect([folder])
    assert found == []
    assert problems == [printable(f"{run}/spec.json is missing")]
    assert terminal(capsys, display.print_problems, problems).isprintable()
    assert terminal(capsys, display.print_paths, [run]).isprintable()


def test_page_loads_nothing(reader):
    for tag, attributes in reader.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes), tag
    policy = next(a["content"] for _, a in reader.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_report_is_reproducible(out, tmp_path):
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


def test_imports():
    code = (
        "import sys, keras_wgd.experiments.analysis.analysis;"
        "heavy = {'altair', 'vl_convert', 'scipy', 'jinja2', 'keras'};"
        "assert not heavy & {*sys.modules};"
        "import keras_wgd.report.report; assert 'keras' not in sys.modules;"
        "import keras_wgd.pictures; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_links_are_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "figures").symlink_to(tmp_path / "elsewhere")
    for name in ("report", "other"):
        with pytest.raises(
            ValueError, match=r"^out must be .*link\. Received: .*link$"
        ):
            report.write(tmp_path / name, Analysis.of([result_of(SPEC)]), [])
    assert not list((tmp_path / "elsewhere").iterdir())
