"""Metrics of scikit-learn and SciPy on random inputs, and a logistic regression: the golden numbers of tatabox_core's tests.

    python benches/peers/metrics.py > crates/tatabox-core/tests/golden/metrics.json

Written with scikit-learn 1.x and SciPy 1.x; the versions are in the file.
"""
import json
import warnings

import numpy as np
import scipy
import sklearn
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as m
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20)
out = {"sklearn": sklearn.__version__, "scipy": scipy.__version__, "classes": [], "scores": [], "one_vs_rest": [], "numbers": [], "logistic": []}

for classes, size in [(2, 7), (2, 200), (3, 50), (5, 300)]:
    truth = rng.integers(0, classes, size)
    predicted = np.where(rng.random(size) < 0.5, truth, rng.integers(0, classes, size))
    precision, recall, f1, support = m.precision_recall_fscore_support(truth, predicted, labels=list(range(classes)), zero_division=0)
    macro = m.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)[:3]
    out["classes"].append({"classes": classes, "truth": truth.tolist(), "predicted": predicted.tolist(),
                           "accuracy": m.accuracy_score(truth, predicted), "mcc": m.matthews_corrcoef(truth, predicted),
                           "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(), "macro": list(macro)})

for size, decimals in [(20, 1), (300, 1), (300, 2), (500, 12)]:
    truth = rng.random(size) < 0.3
    scores = np.round(truth * 0.3 + rng.random(size), decimals)
    out["scores"].append({"truth": truth.tolist(), "scores": scores.tolist(), "auroc": m.roc_auc_score(truth, scores),
                          "average_precision": m.average_precision_score(truth, scores)})

for classes in [3, 4]:
    truth = rng.integers(0, classes, 120)
    scores = rng.random((120, classes)) + np.eye(classes)[truth] * 0.4
    scores /= scores.sum(1, keepdims=True)
    out["one_vs_rest"].append({"truth": truth.tolist(), "scores": scores.T.tolist(),
                               "auroc": m.roc_auc_score(truth, scores, multi_class="ovr", average="macro")})

for size, decimals in [(10, 1), (200, 1), (200, 12)]:
    truth = np.round(rng.normal(size=size), decimals)
    predicted = np.round(truth * 0.5 + rng.normal(size=size), decimals)
    out["numbers"].append({"truth": truth.tolist(), "predicted": predicted.tolist(), "pearson": pearsonr(truth, predicted)[0],
                           "spearman": spearmanr(truth, predicted)[0], "mse": m.mean_squared_error(truth, predicted)})

# 3-mers of short sequences, counts over their root of squares; scikit-learn's C is ours.
for classes, c in [(2, 10.0), (3, 1.0)]:
    labels = rng.integers(0, classes, 60)
    sequences = ["".join(rng.choice(list("ATCG"), 40, p=np.roll([0.4, 0.3, 0.2, 0.1], label))) for label in labels]
    rows = np.zeros((60, 64))
    for row, sequence in zip(rows, sequences):
        for at in range(38):
            row["ATCG".index(sequence[at]) * 16 + "ATCG".index(sequence[at + 1]) * 4 + "ATCG".index(sequence[at + 2])] += 1
        row /= np.sqrt((row ** 2).sum())
    model = LogisticRegression(C=c, tol=1e-10, max_iter=100000).fit(rows, labels)
    out["logistic"].append({"classes": classes, "c": c, "sequences": sequences, "labels": labels.tolist(),
                            "probabilities": model.predict_proba(rows).tolist()})

# Probabilities, some of them on the borders of tenths.
def expected_error(truth, given):
    shares, means = calibration_curve(truth, given, n_bins=10)
    records = np.histogram(np.searchsorted(np.linspace(0, 1, 11)[1:-1], given), bins=np.arange(11))[0]
    return float((records[records > 0] * np.abs(shares - means)).sum() / len(given))


out["probabilities"] = []
for classes, size, decimals in [(2, 30, 1), (2, 400, 3), (3, 300, 2), (5, 200, 12)]:
    truth = rng.integers(0, classes, size)
    scores = rng.random((size, classes)) + np.eye(classes)[truth] * 0.6
    scores /= scores.sum(1, keepdims=True)
    if classes == 2:
        scores[:, 1] = np.round(scores[:, 1], decimals)
        scores[:, 0] = 1 - scores[:, 1]
    predicted = scores.argmax(1)
    against = [1] if classes == 2 else range(classes)
    given = scores[:, 1] if classes == 2 else scores.max(1)
    right = truth == 1 if classes == 2 else truth == predicted
    metrics = {"accuracy": m.accuracy_score(truth, predicted), "mcc": m.matthews_corrcoef(truth, predicted),
               "macro_f1": m.f1_score(truth, predicted, average="macro"),
               "auroc": m.roc_auc_score(truth, scores[:, 1] if classes == 2 else scores, multi_class="ovr"),
               "average_precision": float(np.mean([m.average_precision_score(truth == c, scores[:, c]) for c in against])),
               "brier": m.brier_score_loss(truth, scores[:, 1] if classes == 2 else scores),
               "calibration_error": expected_error(right, given)}
    if classes == 2:
        metrics["f1"] = m.f1_score(truth, predicted)
    curves = [np.stack(calibration_curve(truth == c, scores[:, c], n_bins=10)[::-1], 1).tolist() for c in against]
    out["probabilities"].append({"truth": truth.tolist(), "scores": scores.tolist(), "metrics": metrics, "calibration": curves})

out["labels"] = []
for labels, size in [(2, 40), (4, 300)]:
    truth = (rng.random((size, labels)) < np.linspace(0.2, 0.6, labels)).astype(int)
    scores = np.round(np.clip(rng.random((size, labels)) * 0.8 + truth * 0.25, 0, 1), 2)
    predicted = (scores >= 0.5).astype(int)
    mean = lambda metric: float(np.mean([metric(truth[:, at], scores[:, at]) for at in range(labels)]))
    metrics = {"accuracy": m.accuracy_score(truth, predicted), "macro_f1": m.f1_score(truth, predicted, average="macro"),
               "micro_f1": m.f1_score(truth, predicted, average="micro"), "auroc": m.roc_auc_score(truth, scores),
               "average_precision": m.average_precision_score(truth, scores), "brier": mean(m.brier_score_loss)}
    outputs = [{"precision": m.precision_score(t, p), "recall": m.recall_score(t, p), "f1": m.f1_score(t, p),
                "mcc": m.matthews_corrcoef(t, p), "auroc": m.roc_auc_score(t, s), "average_precision": m.average_precision_score(t, s),
                "brier": m.brier_score_loss(t, s), "calibration_error": expected_error(t, s)}
               for t, p, s in zip(truth.T, predicted.T, scores.T)]
    out["labels"].append({"truth": truth.tolist(), "scores": scores.tolist(), "metrics": metrics, "outputs": outputs})

print(json.dumps(out))
