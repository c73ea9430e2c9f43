#!/usr/bin/env python3
"""Makes tests/data/metrics/metrics.json: scikit-learn's metrics of scores with and without ties.

Usage: scripts/golden/metrics.py  (needs scikit-learn, numpy)
"""
import json
import pathlib

import numpy
import sklearn
from sklearn import metrics

CASES = {  # name: (samples, part harmful, scores are rounded to, labels from scores)
    "no ties": (200, 0.4, None, True),
    "many ties": (300, 0.5, 1, True),
    "no signal": (151, 0.3, 2, False),
    "one positive": (50, 0.02, 1, False),
    "one negative": (50, 0.98, 1, False),
    "all tied": (40, 0.5, 0, False),
    "two samples": (2, 0.5, None, False),
}


def case(rng, n, part, digits, informative):
    labels = numpy.zeros(n, int)
    labels[: max(1, round(n * part))] = 1
    rng.shuffle(labels)
    scores = rng.uniform(0, 0.4 if digits == 0 else 1, n)
    if informative:
        scores = 0.6 * scores + 0.4 * labels * rng.uniform(0, 1, n)
    if digits is not None:
        scores = numpy.round(scores, digits)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    accuracies = [metrics.accuracy_score(labels, scores >= t) for t in thresholds]
    resampled = []
    while len(resampled) < 4000:
        drawn = rng.integers(0, n, n)
        if 0 < labels[drawn].sum() < n:
            resampled.append(metrics.roc_auc_score(labels[drawn], scores[drawn]))
    return {
        "scores": scores.tolist(), "labels": labels.tolist(),
        "auroc": metrics.roc_auc_score(labels, scores), "average_precision": metrics.average_precision_score(labels, scores),
        "accuracy_at_half": metrics.accuracy_score(labels, scores >= 0.5), "best_accuracy": max(accuracies),
        "fpr": fpr.tolist(), "tpr": tpr.tolist(), "thresholds": thresholds[1:].tolist(),
        "bootstrap_95": numpy.quantile(resampled, [0.025, 0.975]).tolist(),
    }


rng = numpy.random.default_rng(3)
made_by = {"script": "scripts/golden/metrics.py", "scikit-learn": sklearn.__version__, "numpy": numpy.__version__}
cases = [{"name": name, **case(rng, *settings)} for name, settings in CASES.items()]
rows = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases)
path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/metrics/metrics.json"
path.write_text(f'{{"made_by":{json.dumps(made_by)},\n"cases":[\n{rows}\n]}}\n')
