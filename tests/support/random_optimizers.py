"""Random optimizers: a class and its options, which can be printed, then made."""

import dataclasses
from typing import Any

from hypothesis import strategies as st
from keras import optimizers

from keras_wgd import RAdam

BETA = st.sampled_from([0.0, 0.5, 0.9, 0.999])
POSITIVE_BETA = st.sampled_from([0.5, 0.9, 0.999])
EPSILON = st.sampled_from([1e-10, 1e-7, 1e-3])
FLAG = st.booleans()
DECAY = st.sampled_from([0.004, 0.25])
STRENGTH = st.sampled_from([0.0, 0.125])

# The options of each class; all are optional.
CLASSES: dict[type, dict[str, st.SearchStrategy]] = {
    optimizers.SGD: {"momentum": BETA, "nesterov": FLAG},
    optimizers.RMSprop: {
        "rho": BETA,
        "momentum": BETA,
        "epsilon": EPSILON,
        "centered": FLAG,
    },
    optimizers.Adam: {
        "beta_1": BETA,
        "beta_2": BETA,
        "epsilon": EPSILON,
        "amsgrad": FLAG,
    },
    optimizers.AdamW: {"beta_1": BETA, "beta_2": BETA, "amsgrad": FLAG},
    optimizers.Adadelta: {"rho": BETA, "epsilon": EPSILON},
    optimizers.Adagrad: {
        "initial_accumulator_value": st.sampled_from([0.0, 1.0]),
        "epsilon": EPSILON,
    },
    optimizers.Adamax: {"beta_1": BETA, "beta_2": BETA, "epsilon": EPSILON},
    optimizers.Adafactor: {
        "beta_2_decay": st.sampled_from([-0.8, -0.5]),
        "clip_threshold": st.sampled_from([0.5, 1.0]),
        "relative_step": FLAG,
    },
    optimizers.Nadam: {"beta_1": BETA, "beta_2": BETA, "epsilon": EPSILON},
    optimizers.Ftrl: {
        "learning_rate_power": st.sampled_from([-0.5, -0.25, 0.0]),
        "initial_accumulator_value": st.sampled_from([0.1, 1.0]),
        "l1_regularization_strength": STRENGTH,
        "l2_regularization_strength": STRENGTH,
        "l2_shrinkage_regularization_strength": STRENGTH,
        "beta": STRENGTH,
    },
    optimizers.Lion: {"beta_1": POSITIVE_BETA, "beta_2": BETA},
    optimizers.Lamb: {"beta_1": BETA, "beta_2": BETA, "epsilon": EPSILON},
    optimizers.Muon: {
        "exclude_layers": st.sampled_from([["dense"], ["conv"]]),
        "momentum": BETA,
        "nesterov": FLAG,
        "ns_steps": st.integers(1, 3),
    },
    optimizers.ScheduleFreeAdamW: {
        "beta_1": POSITIVE_BETA,
        "beta_2": BETA,
        "warmup_steps": st.integers(0, 2),
    },
    RAdam: {
        "beta_1": BETA,
        "beta_2": BETA,
        "epsilon": EPSILON,
        "rho_threshold": st.sampled_from([4.0, 5.0]),
    },
}
# Options of every class, which allows one of three ways to clip.
CLIPPING = st.one_of(
    st.just({}),
    st.sampled_from(["clipnorm", "clipvalue", "global_clipnorm"]).map(
        lambda name: {name: 0.5}
    ),
)
SHARED = {
    "weight_decay": DECAY,
    "loss_scale_factor": st.sampled_from([3.0, 8.0]),
    "gradient_accumulation_steps": st.just(2),
}


@dataclasses.dataclass(frozen=True)
class Inner:
    """A class and its options; call it for an optimizer of its own."""

    made: type
    options: dict[str, Any]

    def __call__(self):
        return self.made(**self.options)

    def without(self, option):
        return Inner(self.made, {k: v for k, v in self.options.items() if k != option})


@st.composite
def inner_optimizers(draw):
    made = draw(st.sampled_from(sorted(CLASSES, key=lambda c: c.__name__)))
    rate = st.one_of(
        st.sampled_from([0.01, 0.5]),
        st.builds(
            optimizers.schedules.ExponentialDecay,
            st.just(0.1),
            st.just(2),
            st.just(0.5),
        ),
    )
    rates = {"learning_rate": draw(rate)}
    options = draw(st.fixed_dictionaries({}, optional=CLASSES[made]))
    shared = draw(st.fixed_dictionaries({}, optional=SHARED))
    average = {}
    if draw(FLAG):
        frequency = draw(st.sampled_from([None, 1, 2]))
        average = {
            "use_ema": True,
            "ema_momentum": 0.5,
            "ema_overwrite_frequency": frequency,
        }
    return Inner(made, {**rates, **options, **shared, **average, **draw(CLIPPING)})
