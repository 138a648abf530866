"""Classification: what is particular to nets that answer with the probabilities of classes."""

ESTIMATOR = "classifier"  # what scikit-learn calls it
