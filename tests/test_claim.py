import dataclasses
import json
import subprocess
import sys
from collections import defaultdict

import pytest
from support.hostile import HOSTILE, replaced
from support.runs import SPEC

from keras_wgd import settings
from keras_wgd.experiments.store import claim as claims
from keras_wgd.experiments.store.claim import Shard, claim
from keras_wgd.presets import preset

pytestmark = pytest.mark.any_backend

RUNS = [dataclasses.replace(SPEC, seed=seed) for seed in range(5)]


def test_shards_partition_the_runs():
    parts = [Shard(number, 3).of(RUNS) for number in (1, 2, 3)]
    assert sorted((s for part in parts for s in part), key=lambda s: s.seed) == RUNS
    assert {len(part) for part in parts} == {1, 2}
    assert Shard().of(RUNS) == RUNS
    assert Shard.parse("2/8") == Shard(2, 8)


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize("name", ["paper", "quick", "cpu"])
def test_arms_of_a_pair_share_a_shard(name, parts):
    runs = preset(name).runs()
    shards = [Shard(number, parts).of(runs) for number in range(1, parts + 1)]
    assert sorted(run.id for shard in shards for run in shard) == sorted(
        run.id for run in runs
    )
    arms = {run.arm for run in runs}
    for shard in shards:
        blocks = defaultdict(set)
        for run in shard:
            fields = run.to_dict()
            del fields["mean_over"], fields["placement"]
            blocks[tuple(fields.items())].add(run.arm)
        assert blocks
        assert all(block == arms for block in blocks.values())


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "a/b", "-1/2", "1/2/3", "1.0/2"]
)
def test_parse_of_other_text(text):
    with pytest.raises(ValueError, match=r"shard must be i/n.* Received: '"):
        Shard.parse(text)


def test_one_study_at_a_time(tmp_path):
    for _ in range(2):
        with (
            claim(tmp_path, RUNS, "jax"),
            pytest.raises(ValueError, match="no other study is using"),
            claim(tmp_path, RUNS, "jax"),
        ):
            pass


def test_shards_share_a_folder(tmp_path):
    with claim(tmp_path, RUNS, "jax", Shard(1, 2)):
        with claim(tmp_path, RUNS, "jax", Shard(2, 2)):
            pass
        for other in (Shard(1, 2), Shard()):
            with (
                pytest.raises(ValueError, match="no other study is using"),
                claim(tmp_path, RUNS, "jax", other),
            ):
                pass
    with (
        claim(tmp_path, RUNS, "jax"),
        pytest.raises(ValueError, match="no other study is using"),
        claim(tmp_path, RUNS, "jax", Shard(2, 2)),
    ):
        pass


def test_lock_of_a_killed_process(tmp_path):
    script = (
        "import os, sys; from pathlib import Path\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from test_claim import RUNS, claim\n"
        f"with claim(Path({str(tmp_path)!r}), RUNS, 'jax'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == -9
    assert (tmp_path / claims.STUDY).exists()
    with claim(tmp_path, RUNS, "jax"):
        pass


@pytest.mark.parametrize(
    ("runs", "backend", "message"),
    [
        (RUNS, "torch", "begun with backend jax, now torch"),
        (
            [dataclasses.replace(spec, epochs=9) for spec in RUNS],
            "jax",
            "begun with epochs 2, now 9",
        ),
        ([*RUNS, dataclasses.replace(SPEC, mean_over="filters")], "jax", "mean_over"),
    ],
)
def test_plan_of_another_study(tmp_path, runs, backend, message):
    with claim(tmp_path, RUNS, "jax"):
        pass
    with (
        pytest.raises(ValueError, match=message),
        claim(tmp_path, runs, backend),
    ):
        pass


def test_plan_with_other_settings(tmp_path, monkeypatch):
    for name in settings.names("jax"):
        monkeypatch.delenv(name, raising=False)
    with claim(tmp_path, RUNS, "jax"):
        pass
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16")
    message = "begun with JAX_DEFAULT_MATMUL_PRECISION not set, now bfloat16"
    with pytest.raises(ValueError, match=message), claim(tmp_path, RUNS, "jax"):
        pass
    with claim(tmp_path / "new", RUNS, "jax"):
        pass
    monkeypatch.delenv("JAX_DEFAULT_MATMUL_PRECISION")
    with (
        pytest.raises(ValueError, match="bfloat16, now not set"),
        claim(tmp_path / "new", RUNS, "jax"),
    ):
        pass


def test_plan_without_settings(tmp_path, monkeypatch):
    for name in settings.names("jax"):
        monkeypatch.delenv(name, raising=False)
    runs = [spec.to_dict() for spec in RUNS]
    (tmp_path / claims.STUDY).write_text(json.dumps({"backend": "jax", "runs": runs}))
    with claim(tmp_path, RUNS, "jax"):
        pass


def test_plan_with_another_number_of_settings(tmp_path):
    grid = [
        dataclasses.replace(SPEC, optimizer=optimizer, mean_over=mean_over, seed=seed)
        for seed in (0, 1)
        for optimizer in ("adam", "nadam")
        for mean_over in (None, "filters")
    ]
    with claim(tmp_path, grid, "jax"):
        pass
    message = "begun with 4 settings, now 3; then alone: nadam, 0.001, filters$"
    left = [run for run in grid if (run.optimizer, run.arm) != ("nadam", "filters")]
    with pytest.raises(ValueError, match=message), claim(tmp_path, left, "jax"):
        pass


def test_plan_with_swapped_values(tmp_path):
    def with_rates(*rates):
        optimizers = zip(("adam", "nadam", "radam"), rates, strict=True)
        return [
            dataclasses.replace(SPEC, optimizer=name, learning_rate=rate)
            for name, rate in optimizers
        ]

    with claim(tmp_path, with_rates(0.1, 0.1, 0.2), "jax"):
        pass
    message = "begun with 3 settings, now 3; then alone: nadam, 0.1"
    with (
        pytest.raises(ValueError, match=message),
        claim(tmp_path, with_rates(0.1, 0.2, 0.2), "jax"),
    ):
        pass


def test_plan_in_another_order(tmp_path):
    for runs in (RUNS, RUNS[::-1]):
        with claim(tmp_path, runs, "jax"):
            pass


def study_of(out):
    """The runs of the plan, as in the JSON file."""
    return json.loads((out / claims.STUDY).read_text())["runs"]


def test_new_seeds_are_added(tmp_path):
    """The plan is the union of all runs, in the order in which they were added."""
    asked = [RUNS[1:3], RUNS[:1], RUNS[1:3], RUNS[3:], RUNS]
    wanted = []
    for runs in asked:
        with claim(tmp_path, runs, "jax"):
            wanted += [run.to_dict() for run in runs if run.to_dict() not in wanted]
            assert study_of(tmp_path) == wanted
            assert [run.to_dict() for run in claims.recorded(tmp_path)] == wanted
    assert [run["seed"] for run in wanted] == [1, 2, 0, 3, 4]


def test_no_seeds_added_to_another_study(tmp_path):
    with claim(tmp_path, RUNS[:2], "jax"):
        pass
    before = (tmp_path / claims.STUDY).read_bytes()
    other = [dataclasses.replace(run, epochs=9) for run in RUNS]
    for runs, backend, message in (
        (other, "jax", "begun with epochs 2, now 9"),
        ([*RUNS, *other], "jax", "begun with epochs 2, now 2, 9"),
        (RUNS, "torch", "begun with backend jax, now torch"),
    ):
        with (
            pytest.raises(ValueError, match=message),
            claim(tmp_path, runs, backend),
        ):
            pass
        assert (tmp_path / claims.STUDY).read_bytes() == before


def test_no_seeds_added_to_a_locked_study(tmp_path):
    with (
        claim(tmp_path, RUNS[:2], "jax"),
        pytest.raises(ValueError, match="no other study is using"),
        claim(tmp_path, RUNS, "jax"),
    ):
        pass
    assert [run["seed"] for run in study_of(tmp_path)] == [0, 1]


def test_seeds_added_by_a_shard(tmp_path):
    """A shard that knows fewer seeds keeps its runs."""
    with claim(tmp_path, RUNS[:2], "jax", Shard(1, 2)):
        with claim(tmp_path, RUNS, "jax", Shard(2, 2)):
            assert [run["seed"] for run in study_of(tmp_path)] == [0, 1, 2, 3, 4]
        with claim(tmp_path, RUNS[:2], "jax", Shard(2, 2)):
            assert [run["seed"] for run in study_of(tmp_path)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("name", ["quick", "cpu", "paper"])
def test_shard_of_a_run_does_not_change(name, parts):
    few = preset(name).runs()
    many = preset(name).replace(range(7)).runs()
    shards = [Shard(number, parts) for number in range(1, parts + 1)]
    for shard in shards:
        assert set(shard.of(few)) == set(shard.of(many)) & set(few)
    blocks = [len(shard.of(many)) // len({run.arm for run in many}) for shard in shards]
    assert max(blocks) - min(blocks) <= 1


def test_shards_of_another_size(tmp_path):
    with (
        claim(tmp_path, RUNS, "jax", Shard(1, 2)),
        pytest.raises(ValueError, match="no other study is using"),
        claim(tmp_path, RUNS, "jax", Shard(2, 3)),
    ):
        pass
    with claim(tmp_path, RUNS, "jax", Shard(2, 3)):
        pass


def begun(runs, backend="jax"):
    return json.dumps({"backend": backend, "runs": runs})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"backend": "jax"}', "3", "\x1b[2J"),
        *(begun([]), begun({}), begun(3), begun("seed"), begun([{"seed": 0}])),
        begun([{**SPEC.to_dict(), "optimizer": "\x1b[2J"}]),
        begun([{**SPEC.to_dict(), "seed": [0]}]),
        *(begun([SPEC.to_dict()], backend) for backend in ("\x1b[2J", None, [])),
    ],
)
def test_plan_of_another_program(tmp_path, text):
    (tmp_path / claims.STUDY).write_text(text)
    message = r"study\.json is (damaged|not of this program)"
    with pytest.raises(ValueError, match=message) as refused:
        claim(tmp_path, RUNS, "jax").__enter__()
    assert str(refused.value).isprintable()
    assert (tmp_path / claims.STUDY).read_text() == text


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_hostile_plan(tmp_path, text):
    for tree in replaced({"backend": "jax", "runs": [SPEC.to_dict()]}, text):
        (tmp_path / claims.STUDY).write_text(json.dumps(tree))
        with pytest.raises(ValueError, match=r"is not of this|begun with") as refused:
            claim(tmp_path, [SPEC], "jax").__enter__()
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 1100


def test_errors_are_printable(tmp_path):
    out = tmp_path / "a\x1b[2Jb"
    with claim(out, RUNS, "jax"):
        pass
    message = r"Received: .*a\\x1b\[2Jb, begun with backend jax, now torch$"
    with pytest.raises(ValueError, match=message):
        claim(out, RUNS, "torch").__enter__()
