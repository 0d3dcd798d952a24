import pytest

from keras_wgd.experiments.metrics import METRICS
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.paper import published

pytestmark = pytest.mark.any_backend


def test_tables_have_48_experiments():
    assert [table.number for table in published.TABLES] == [3, 4, 5, 6, 7, 8]
    pairs = [(table.dataset, table.model) for table in published.TABLES]
    assert pairs == [(d, m) for d in published.DATASETS for m in published.MODELS]
    for table in published.TABLES:
        assert list(table.rows) == [
            (o, w) for o in published.OPTIMIZERS for w in (False, True)
        ]
        assert {len(row) for row in table.rows.values()} == {len(METRICS)}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ("animals10", "densenet121", "radam", True),
            (90.02, 0.6222, 90.09, 89.56, 88.66),
        ),
        (
            ("animals10", "resnet18", "nadam", True),
            (75.27, 0.8185, 52.55, 74.51, 71.78),
        ),
        (("cifar100", "resnet18", "sgdm", False), (58.38, 1.6075, 58.38, 57.99, 57.95)),
        (("cifar100", "resnet50", "radam", True), (64.79, 2.3893, 64.78, 64.99, 64.43)),
    ],
)
def test_figures(names, expected):
    assert published.figures_of(*names) == dict(zip(METRICS, expected, strict=True))


def test_experiments_that_the_paper_lacks():
    assert published.figures_of("digits", "resnet8", "adam", True) == {}
    assert published.table_of("cifar100", "resnet20") is None


@pytest.mark.parametrize("table", published.TABLES, ids=lambda table: str(table.number))
def test_misprints_within_rows(table):
    # CIFAR-100's test images are 100 of each class: the mean recall is the accuracy
    # there, and kappa is (accuracy - 1/100) / (1 - 1/100). Elsewhere kappa is lower
    # than the accuracy by an amount that all rows of a table share.
    odd = {}
    chance = []
    for key, (accuracy, _, recall, _, kappa) in table.rows.items():
        chance.append((accuracy - kappa) / (100 - kappa))
        if table.dataset == "cifar100":
            if abs(recall - accuracy) > 0.011:
                odd[key] = "mean recall"
            if abs(kappa - (accuracy - 1) / 0.99) > 0.02:
                odd[key] = "kappa"
        elif recall < accuracy - 5:
            odd[key] = "mean recall"
    if table.dataset == "animals10":
        usual = sorted(chance)[len(chance) // 2]
        odd |= {
            key: "kappa"
            for key, found in zip(table.rows, chance, strict=True)
            if abs(found - usual) > 0.03
        }
    assert odd == {
        4: {("nadam", True): "mean recall"},
        5: {("radam", True): "kappa"},
        8: {("sgdm", False): "kappa"},
    }.get(table.number, {})
    for (optimizer, wgd), metric in odd.items():
        name = f"{'WGD ' if wgd else ''}{OPTIMIZERS[optimizer].label}"
        assert any(name in note and metric in note for note in table.notes)


def test_misprinted_bold_is_noted():
    table = published.table_of("cifar100", "resnet50")
    assert table.rows["sgdm", True][1] > table.rows["sgdm", False][1]
    assert any("2.1040, in bold" in note for note in table.notes)


def test_claim():
    assert published.claim().startswith(
        "The paper reports 24 pairs of runs (Tables 3 to 8). With WGD the accuracy is "
        "higher in 23 of them, by 3.60 percentage points on average (-0.14 to +15.07), "
        "and the loss is lower in 23."
    )
