"""The classifier two-sample test between samples and held-out points, as sbibm defines it (scikit-learn).

    C2ST = mean over 5 folds of the accuracy of a classifier that tells samples from data      Lopez-Paz & Oquab 2017

0.5 is perfect, 1 is told apart without fail. Both sets are standardised by the held-out points' mean and deviation;
the classifier is a perceptron of two hidden layers of 10 D units with ReLU, trained by Adam for 10,000 epochs at most
(Lueckmann et al. 2021). Its time grows with the samples: 1000 of each take seconds.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FOLDS, UNITS, EPOCHS = 5, 10, 10_000
SETTINGS = {"folds": FOLDS, "hidden": f"2 x {UNITS} D", "epochs": EPOCHS}
MEANING = "Accuracy of a classifier that tells samples from held-out data: 0.5 for a perfect model, 1 for a poor one."
FACTS = {"c2st": Facts("C2ST", "", "lower", meaning=MEANING, place=24)}


@register_metric("c2st", facts=FACTS, data="points", settings=lambda *_: SETTINGS, limit=1000, least=FOLDS)
def c2st(samples: "Tensor", reference: "Tensor", dataset: Any, rng: "torch.Generator") -> float:
    """Accuracy of a classifier that tells samples from held-out points.

    Points are (n, D) and (m, D); folds and weights are drawn from rng.
    """
    import numpy as np
    import torch
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, deviation = reference.mean(0), reference.std(0)
    deviation = torch.where(deviation > 0, deviation, 1)  # of a column that is constant
    both = torch.cat([(x - mean) / deviation for x in (reference, samples)]).numpy()
    target = np.repeat([0.0, 1.0], [len(reference), len(samples)])
    seed, width = int(torch.randint(2**31, (), generator=rng)), UNITS * samples.shape[1]
    classifier = MLPClassifier((width, width), activation="relu", solver="adam", max_iter=EPOCHS, random_state=seed)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_score(classifier, both, target, cv=folds, scoring="accuracy")))
