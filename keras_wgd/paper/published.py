"""The figures of the paper's Tables 3 to 8, as printed, misprints and all.

Gholamalinejad and Khosravi, "Whitened gradient descent, a new updating method for
optimizers in deep neural networks", Journal of AI and Data Mining, 2022,
DOI 10.22044/jadm.2022.11325.2291, Sec. 4.4: one run each, of 50 epochs at a learning
rate of 0.01, on images of 224 x 224.
"""

import dataclasses

from keras_wgd.experiments.metrics import METRICS

DATASETS = {"animals10": "Animals-10", "cifar100": "CIFAR-100"}
MODELS = {"densenet121": "DenseNet121", "resnet18": "ResNet18", "resnet50": "ResNet50"}
OPTIMIZERS = ("sgdm", "adam", "nadam", "radam")

# Of all runs (Table 1).
LEARNING_RATE = 0.01
# Height and width of the images in pixels, which Table 1 leaves out.
IMAGE_SIZE = 224

# The figures that show training, by data set and curve; and all accuracies.
CURVE_FIGURES = {
    ("animals10", "train_accuracy"): 4,
    ("animals10", "train_loss"): 5,
    ("cifar100", "train_accuracy"): 7,
    ("cifar100", "train_loss"): 8,
}
CURVE_MODEL = "densenet121"
ACCURACY_FIGURES = {"animals10": 6, "cifar100": 9}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper. The names are those of `RunSpec`."""

    number: int
    dataset: str
    model: str
    # In the order of `METRICS`: percent, and nats for the loss. By optimizer, and
    # whether WGD is in it.
    rows: dict[tuple[str, bool], tuple[float, ...]]
    # What looks like a misprint.
    notes: tuple[str, ...] = ()


TABLES = (
    PaperTable(
        number=3,
        dataset="animals10",
        model="densenet121",
        rows={
            ("sgdm", False): (87.00, 0.5074, 85.84, 86.51, 85.20),
            ("sgdm", True): (87.65, 0.4535, 87.17, 87.37, 85.95),
            ("adam", False): (77.41, 0.6808, 76.34, 75.99, 74.32),
            ("adam", True): (79.55, 0.6604, 77.61, 78.19, 76.69),
            ("nadam", False): (73.66, 0.7967, 71.17, 72.79, 69.96),
            ("nadam", True): (78.36, 0.6218, 76.57, 77.08, 75.36),
            ("radam", False): (87.69, 0.7606, 87.40, 86.77, 86.01),
            ("radam", True): (90.02, 0.6222, 90.09, 89.56, 88.66),
        },
    ),
    PaperTable(
        number=4,
        dataset="animals10",
        model="resnet18",
        rows={
            ("sgdm", False): (81.19, 0.7271, 79.19, 80.64, 78.54),
            ("sgdm", True): (81.57, 0.6540, 79.93, 81.34, 79.00),
            ("adam", False): (72.90, 0.9012, 70.31, 71.58, 69.09),
            ("adam", True): (75.31, 0.8535, 74.20, 73.15, 71.99),
            ("nadam", False): (69.19, 0.9652, 67.08, 66.87, 65.01),
            ("nadam", True): (75.27, 0.8185, 52.55, 74.51, 71.78),
            ("radam", False): (82.91, 1.2590, 81.12, 82.34, 80.51),
            ("radam", True): (84.71, 1.1105, 83.69, 83.97, 82.60),
        },
        notes=(
            "The paper's mean recall of WGD Nadam, 52.55, does not go with its "
            "accuracy of 75.27.",
        ),
    ),
    PaperTable(
        number=5,
        dataset="animals10",
        model="resnet50",
        rows={
            ("sgdm", False): (77.03, 1.9745, 74.57, 76.32, 73.79),
            ("sgdm", True): (81.38, 0.8031, 79.44, 80.66, 78.76),
            ("adam", False): (73.97, 0.7936, 69.63, 73.84, 70.19),
            ("adam", True): (76.64, 0.7692, 74.56, 76.25, 73.39),
            ("nadam", False): (67.20, 0.9498, 64.73, 63.80, 62.75),
            ("nadam", True): (76.07, 0.7422, 74.14, 74.50, 72.76),
            ("radam", False): (83.41, 1.0974, 82.19, 82.37, 81.12),
            ("radam", True): (85.28, 0.8933, 84.63, 84.36, 84.36),
        },
        notes=(
            "The paper's kappa of WGD RAdam, 84.36, repeats its mean precision; an "
            "accuracy of 85.28 goes with a kappa of about 83.3.",
            "The paper's text gives Nadam's gain as 67.20 to 76.64, its table as "
            "67.20 to 76.07: 76.64 is the row of WGD Adam.",
        ),
    ),
    PaperTable(
        number=6,
        dataset="cifar100",
        model="densenet121",
        rows={
            ("sgdm", False): (66.16, 1.3812, 66.16, 66.31, 65.81),
            ("sgdm", True): (66.70, 1.3411, 66.70, 67.18, 66.36),
            ("adam", False): (45.02, 2.0750, 45.01, 44.58, 44.46),
            ("adam", True): (50.86, 1.8090, 50.85, 51.22, 50.36),
            ("nadam", False): (40.44, 2.3100, 40.44, 40.76, 39.83),
            ("nadam", True): (46.10, 1.9762, 46.09, 47.31, 45.55),
            ("radam", False): (63.23, 2.6760, 63.23, 63.18, 62.85),
            ("radam", True): (70.35, 2.0094, 70.35, 70.73, 70.05),
        },
    ),
    PaperTable(
        number=7,
        dataset="cifar100",
        model="resnet18",
        rows={
            ("sgdm", False): (58.38, 1.6075, 58.38, 57.99, 57.95),
            ("sgdm", True): (60.57, 1.5235, 60.57, 60.30, 60.17),
            ("adam", False): (44.13, 2.1271, 44.13, 43.77, 43.56),
            ("adam", True): (46.96, 1.9737, 46.96, 46.96, 46.42),
            ("nadam", False): (43.89, 2.1221, 43.89, 44.00, 43.32),
            ("nadam", True): (45.27, 2.0659, 45.27, 44.88, 44.71),
            ("radam", False): (62.25, 3.0041, 62.24, 62.53, 61.86),
            ("radam", True): (63.28, 2.9368, 63.28, 63.55, 62.90),
        },
    ),
    PaperTable(
        number=8,
        dataset="cifar100",
        model="resnet50",
        rows={
            ("sgdm", False): (56.34, 1.7131, 56.34, 56.47, 56.89),
            ("sgdm", True): (58.70, 2.1040, 58.70, 58.83, 58.28),
            ("adam", False): (42.61, 2.1868, 42.61, 42.35, 42.03),
            ("adam", True): (47.00, 1.9774, 47.00, 46.83, 46.46),
            ("nadam", False): (30.08, 2.7722, 30.08, 29.14, 29.37),
            ("nadam", True): (45.15, 2.0368, 45.14, 45.46, 44.59),
            ("radam", False): (64.93, 2.4143, 64.92, 65.46, 64.57),
            ("radam", True): (64.79, 2.3893, 64.78, 64.99, 64.43),
        },
        notes=(
            "The paper's kappa of SGDM, 56.89, is above its accuracy of 56.34, which "
            "kappa cannot be here; 55.90 goes with it.",
            "The paper prints the loss of WGD SGDM, 2.1040, in bold as the better "
            "one, though 1.7131 without WGD is lower; and RAdam's 2.4143, though "
            "2.3893 with WGD is lower.",
            "The paper's text says that WGD cost RAdam about 0.3 %; its table says "
            "0.14.",
        ),
    ),
)

_BY_NAMES = {(table.dataset, table.model): table for table in TABLES}


def table_of(dataset: str, model: str) -> PaperTable | None:
    """The paper's table of a data set and a network, if it has one."""
    return _BY_NAMES.get((dataset, model))


def figures_of(dataset: str, model: str, optimizer: str, wgd: bool) -> dict[str, float]:
    """The paper's figures of an experiment, if it has any, by the names in `METRICS`.

    The paper does not say over what WGD takes the mean, so its figures go with every
    arm of ours but `"plain"`.
    """
    table = table_of(dataset, model)
    row = None if table is None else table.rows.get((optimizer, wgd))
    return {} if row is None else dict(zip(METRICS, row, strict=True))


def claim() -> str:
    """A paragraph on the results that the paper reports."""
    pairs = [
        (table.rows[name, False], table.rows[name, True])
        for table in TABLES
        for name in OPTIMIZERS
    ]
    gains = [with_wgd[0] - plain[0] for plain, with_wgd in pairs]
    losses = sum(with_wgd[1] < plain[1] for plain, with_wgd in pairs)
    return (
        f"The paper reports {len(pairs)} pairs of runs (Tables 3 to 8). With WGD the "
        f"accuracy is higher in {sum(gain > 0 for gain in gains)} of them, by "
        f"{sum(gains) / len(gains):.2f} percentage points on average "
        f"({min(gains):+.2f} to {max(gains):+.2f}), and the loss is lower in {losses}. "
        "It says that WGD smooths the training curve, and shows curves of RAdam. One "
        "run each gives no interval and no test."
    )
