"""The charts of results, for the tests of what draws them."""

from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.report import verdict
from keras_wgd.report.figures import figures


def charts_of(results):
    """The charts of results, by name."""
    analysis = Analysis.of(results)
    return figures(analysis, verdict.judge(analysis.runs))
