import json
import subprocess
import sys

import keras

PROGRAM = """
import importlib.machinery, json, sys, time

class PathFinder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] not in {absent}:
            return super().find_spec(name, path, target)

finders = sys.meta_path
finders[finders.index(importlib.machinery.PathFinder)] = PathFinder
import keras
before = set(sys.modules)
seconds = []
for _ in range(3):
    for name in [name for name in sys.modules if name.startswith("keras_wgd")]:
        del sys.modules[name]
    start = time.process_time()
    import keras_wgd
    seconds.append(time.process_time() - start)
added = {{name.split(".")[0] for name in set(sys.modules) - before}}
optimizer = keras_wgd.WGD(keras_wgd.RAdam())
optimizer.build([keras.Variable(keras.ops.zeros((3, 3, 2, 4)), name="kernel")])
optimizer.apply([keras.ops.ones((3, 3, 2, 4))])
print(json.dumps({{
    "backend": keras.backend.backend(),
    "seconds": seconds,
    "added": sorted(added - set(sys.stdlib_module_names)),
}}))
"""


def test_import_with_one_backend():
    backend = keras.backend.backend()
    absent = {"tensorflow", "jax", "torch"} - {backend}
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(absent=absent)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    report = json.loads(output.splitlines()[-1])
    assert report["backend"] == backend
    assert report["added"] == ["keras_wgd"]
    # The first import reads files; the others show the cost of the code.
    assert report["seconds"][0] < 0.5
    assert min(report["seconds"]) < 0.05


def test_command_line_imports_no_keras():
    modules = (
        "experiments.launch.cluster",
        "experiments.launch.runner",
        "experiments.store.claim",
        "experiments.store.results",
        "experiments.training.inputs",
        "experiments.training.tensorboard",
        "cli.launch",
        "presets",
        "report.report",
    )
    imports = ", ".join(f"keras_wgd.{name}" for name in modules)
    code = f"import sys, keras_wgd.cli, {imports}; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
