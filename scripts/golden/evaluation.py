#!/usr/bin/env python3
"""Makes tests/data/metrics/evaluation.json: what scikit-learn, SciPy and plain definitions in NumPy say of scores and embeddings.

Usage: scripts/golden/evaluation.py  (needs scikit-learn, scipy, numpy)
"""
import json
import pathlib
import warnings

import numpy
import scipy
import sklearn
from scipy import optimize, spatial, special, stats
from sklearn import decomposition, linear_model, manifold, metrics, neighbors, preprocessing


def scored(rng, n, part, digits):
    labels = (rng.uniform(size=n) < part).astype(int)
    labels[:2], labels[2:4] = 0, 1
    scores = numpy.clip(0.5 + 0.25 * (labels - 0.5) + 0.2 * rng.normal(size=n), 0, 1)
    return labels, numpy.round(scores, digits)


def threshold_metrics(labels, scores):
    precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
    held = scores >= 0.5
    tn, fp, fn, tp = metrics.confusion_matrix(labels, held).ravel().tolist()
    return {
        "labels": labels.tolist(), "scores": scores.tolist(),
        "curve": {"precision": precision.tolist(), "recall": recall.tolist(), "thresholds": thresholds.tolist()},
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn}, "precision": metrics.precision_score(labels, held, zero_division=0),
        "recall": metrics.recall_score(labels, held), "f1": metrics.f1_score(labels, held),
        "accuracy": metrics.accuracy_score(labels, held), "balanced_accuracy": metrics.balanced_accuracy_score(labels, held),
        "brier": metrics.brier_score_loss(labels, scores),
    }


def calibration_error(labels, p, bins):
    """Guo et al. 2017, equation 3, bins (low, high], on the probability of the positive class."""
    place = numpy.clip(numpy.searchsorted(numpy.arange(bins + 1) / bins, p, side="left") - 1, 0, bins - 1)
    parts = [place == b for b in range(bins) if (place == b).any()]
    return float(sum(part.mean() * abs(labels[part].mean() - p[part].mean()) for part in parts))


def calibration(rng):
    labels, p = scored(rng, 300, 0.4, 2)
    logits = numpy.round(6 * rng.normal(size=300) + 5 * (labels - 0.4), 3)

    def slope(beta):
        return numpy.sum(logits * (special.expit(beta * logits) - labels))

    def nll(beta):
        return float(numpy.mean(numpy.logaddexp(0, beta * logits) - labels * beta * logits))

    beta = optimize.brentq(slope, 1e-6, 100, xtol=1e-15, rtol=1e-14)
    return {
        "labels": labels.tolist(), "probabilities": p.tolist(), "error": {b: calibration_error(labels, p, b) for b in (1, 10, 15, 40)},
        "logits": logits.tolist(), "temperature": 1 / beta, "nll_before": nll(1), "nll": nll(beta),
    }


def delong(labels, *scores):
    """DeLong et al. 1988, written out: every positive with every negative."""
    v10, v01 = [], []
    for s in scores:
        x, y = s[labels == 1][:, None], s[labels == 0][None, :]
        wins = (x > y) + 0.5 * (x == y)
        v10.append(wins.mean(1))
        v01.append(wins.mean(0))
    covariance = numpy.cov(v10) / len(v10[0]) + numpy.cov(v01) / len(v01[0])
    return [v.mean() for v in v10], numpy.atleast_2d(covariance)


def comparison(labels, a, b):
    auroc, covariance = delong(labels, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (auroc[0] - auroc[1]) / numpy.sqrt(variance)
    half = stats.norm.ppf(0.95) * numpy.sqrt(covariance[0, 0])
    return {
        "labels": labels.tolist(), "a": a.tolist(), "b": b.tolist(), "auroc_a": auroc[0], "auroc_b": auroc[1],
        "variance_a": covariance[0, 0], "variance": variance, "z": z, "p": 2 * stats.norm.sf(abs(z)),
        "interval_90": [max(0, auroc[0] - half), min(1, auroc[0] + half)],
    }


def probe(rng, classes, n, d, c, scaling):
    labels = numpy.arange(n) % classes
    x = rng.normal(size=(n, d)) * rng.uniform(0.5, 3, d) + 2 * rng.normal(size=d) + 0.8 * rng.normal(size=(classes, d))[labels]
    x = numpy.round(x, 3).astype(numpy.float32).astype(float)  # the library's features are float
    new = numpy.round(rng.normal(size=(5, d)), 3).astype(numpy.float32).astype(float)
    fitted = preprocessing.StandardScaler().fit(x)
    prepare = {"standardize": fitted.transform, "unit_length": preprocessing.normalize, "none": lambda values: values}[scaling]
    model = linear_model.LogisticRegression(C=c, tol=1e-11, max_iter=10000, solver="newton-cg").fit(prepare(x), labels)
    other = linear_model.LogisticRegression(C=c, tol=1e-9, max_iter=100000, solver="lbfgs").fit(prepare(x), labels)
    assert numpy.abs(model.coef_ - other.coef_).max() < 1e-5, "scikit-learn's own solvers disagree"
    return {
        "scaling": scaling, "c": c, "features": x.tolist(), "labels": labels.tolist(), "weight": model.coef_.tolist(),
        "bias": model.intercept_.tolist(), "new": new.tolist(), "probabilities": model.predict_proba(prepare(new)).tolist(),
    }


def ranks(similarity, match):
    """1 + candidates that do not match and are at least as similar as the best match."""
    return [1 + int((row[~m] >= row[m].max()).sum()) for row, m in zip(similarity, match)]


def recalls(similarity, match):
    r = numpy.array(ranks(similarity, match))
    return {"at": [float((r <= k).mean()) for k in (1, 5, 10)], "median": float(numpy.median(r))}


def both_ways(images, texts, match):
    similarity = preprocessing.normalize(images) @ preprocessing.normalize(texts).T
    return {"image_to_text": recalls(similarity, match), "text_to_image": recalls(similarity.T, match.T)}


def retrieval(rng):
    n, d = 40, 6
    images = numpy.round(rng.normal(size=(n, d)), 2)
    texts = numpy.round(images + 1.2 * rng.normal(size=(n, d)), 2)
    captions = numpy.concatenate([texts, numpy.round(images[: n // 2] + rng.normal(size=(n // 2, d)), 2)])
    image_ids, text_ids = 100 + numpy.arange(n), 100 + numpy.arange(len(captions)) % n
    prompts = [numpy.round(rng.normal(size=(k, d)), 2) for k in (3, 1, 4)]
    classes = preprocessing.normalize([preprocessing.normalize(p).mean(0) for p in prompts])
    u, v = preprocessing.normalize(images), preprocessing.normalize(texts)
    return {
        "images": images.tolist(), "texts": texts.tolist(), "paired": both_ways(images, texts, numpy.eye(n, dtype=bool)),
        "captions": captions.tolist(), "image_ids": image_ids.tolist(), "text_ids": text_ids.tolist(),
        "with_ids": both_ways(images, captions, image_ids[:, None] == text_ids[None, :]),
        "prompts": [p.tolist() for p in prompts], "classes": classes.tolist(), "logits": (100 * u @ classes.T).tolist(),
        "alignment": {"1": float((numpy.linalg.norm(u - v, axis=1)).mean()), "2": float((numpy.linalg.norm(u - v, axis=1) ** 2).mean())},
        "uniformity": {str(t): float(numpy.log(numpy.exp(-t * spatial.distance.pdist(u) ** 2).mean())) for t in (1, 2)},
    }


def nearest(rng):
    """kNN as DINO evaluates: the k of highest cosine vote with weight exp(cosine / temperature)."""
    known, queries = (numpy.round(rng.normal(size=(n, 5)), 2).astype(numpy.float32).astype(float) for n in (60, 40))
    labels = rng.integers(0, 4, 60)

    def predicted(k, temperature):
        model = neighbors.KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: numpy.exp((1 - d) / temperature))
        return model.fit(known, labels).predict(queries).tolist()

    return {"known": known.tolist(), "labels": labels.tolist(), "queries": queries.tolist(),
            "predicted": [{"k": k, "temperature": t, "labels": predicted(k, t)} for k, t in ((1, 0.07), (7, 0.5), (20, 0.07))]}


def spread(rng):
    """Deviation times root of the width, and effective rank (Roy & Vetterli 2007) of centred unit vectors."""
    x = numpy.round(rng.normal(size=(50, 8)) * numpy.arange(1, 9), 2).astype(numpy.float32).astype(float)
    unit = preprocessing.normalize(x)
    singular = numpy.linalg.svd(unit - unit.mean(0), compute_uv=False)
    return {"features": x.tolist(), "deviation": float(unit.std(0, ddof=1).mean() * numpy.sqrt(8)),
            "effective_rank": float(numpy.exp(stats.entropy(singular / singular.sum())))}


def by_group(labels, scores):
    groups = numpy.arange(len(labels)) % 3
    return {"labels": labels.tolist(), "scores": scores.tolist(), "groups": [f"group {g}" for g in groups],
            "figures": [{"group": f"group {g}", "n": int((groups == g).sum()), "positives": int(labels[groups == g].sum()),
                         "auroc": metrics.roc_auc_score(labels[groups == g], scores[groups == g]),
                         "accuracy": metrics.accuracy_score(labels[groups == g], scores[groups == g] >= 0.5)} for g in range(3)]}


def embedding_map(rng):
    # Rounding decides which local minimum t-SNE ends in; here they differ by 2 %, in more dimensions by 15 %. The steps of "auto" are
    # so large for few points that it decides at once; calm ones can be followed.
    labels = numpy.arange(60) % 3
    x = numpy.round(4 * rng.normal(size=(3, 3))[labels] + rng.normal(size=(60, 3)), 2)
    pca = decomposition.PCA(2, svd_solver="full").fit(x)
    largest = numpy.take_along_axis(pca.components_, numpy.abs(pca.components_).argmax(1)[:, None], 1)
    signs = numpy.sign(largest)
    tsne = manifold.TSNE(perplexity=20, method="exact", init="pca", learning_rate="auto", random_state=0).fit(x)
    points = pca.transform(x) * signs.T
    start = points / points[:, 0].std() * 1e-4
    calm = {its: manifold.TSNE(perplexity=20, method="exact", init=start, learning_rate=0.5, max_iter=its).fit(x) for its in (250, 1000)}
    return {
        "features": x.tolist(), "labels": labels.tolist(), "axes": (pca.components_ * signs).tolist(),
        "points": points.round(12).tolist(), "explained": pca.explained_variance_ratio_.tolist(),
        "perplexity": 20, "kl": float(tsne.kl_divergence_),
        "calm": {"learning_rate": 0.5, "points_250": calm[250].embedding_.astype(float).round(7).tolist(), "kl": float(calm[1000].kl_divergence_)},
    }


warnings.simplefilter("error")
rng = numpy.random.default_rng(11)
labels, scores = scored(rng, 120, 0.4, 12)
_, tied = scored(rng, 120, 0.4, 1)
few, rounded = scored(rng, 30, 0.2, 1)
made_by = {"script": "scripts/golden/evaluation.py", "scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": numpy.__version__}
document = {
    "made_by": made_by,
    "thresholds": [threshold_metrics(labels, scores), threshold_metrics(labels, tied), threshold_metrics(few, rounded)],
    "calibration": calibration(rng),
    "delong": [comparison(labels, scores, tied), comparison(few, rounded, rng.normal(size=30).round(1)),
               comparison(labels, scores, numpy.clip(scores + 0.01 * rng.normal(size=120), 0, 1))],
    "probe": [probe(rng, 2, 60, 5, 1.0, "standardize"), probe(rng, 2, 40, 60, 10.0, "standardize"), probe(rng, 4, 80, 6, 0.5, "standardize"),
              probe(rng, 3, 60, 5, 20.0, "unit_length"), probe(rng, 3, 60, 4, 1.0, "none")],
    "retrieval": retrieval(rng),
    "map": embedding_map(numpy.random.default_rng(11)),
    "nearest": nearest(numpy.random.default_rng(12)),
    "spread": spread(numpy.random.default_rng(13)),
    "groups": by_group(labels, tied),
}
rows = ",\n".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in document.items())
path = pathlib.Path(__file__).resolve().parents[2] / "tests/data/metrics/evaluation.json"
path.write_text(f"{{{rows}}}\n")
