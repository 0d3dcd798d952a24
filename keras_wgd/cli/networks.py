"""`keras-wgd kernels`."""

import json
from typing import Annotated, cast

import typer

from keras_wgd.cli.options import Backend, Json, choose_backend, one_of, user_errors
from keras_wgd.optimizers import means


def kernels(
    network: Annotated[
        str, typer.Argument(help="A name of keras.applications, or a .keras file.")
    ],
    mean_over: Annotated[str, one_of(means.MEANS)] = "filters",
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    """Show which kernels of a network WGD centers, over what, and why not others."""
    with user_errors():
        means.get(mean_over)
    choose_backend(backend)
    from keras_wgd.environment import keras_defaults
    from keras_wgd.optimizers.plan import WhiteningPlan
    from keras_wgd.optimizers.selection import KernelSelection
    from keras_wgd.tasks.models.applications import load

    with user_errors(), keras_defaults():
        model = load(network)
    selection = KernelSelection(model=model)
    mean = cast("means.MeanOver", mean_over)
    plan = WhiteningPlan(model.trainable_variables, mean, selection)
    summary = plan.summary(f'{model.name}, mean_over="{mean_over}"')
    if as_json:
        print(json.dumps({"model": model.name, **summary.to_dict()}))
    else:
        summary.print()
