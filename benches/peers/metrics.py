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

print(json.dumps(out))
