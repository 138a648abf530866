"""Classification: everything specific to nets whose outputs are probabilities of classes."""

ESTIMATOR = "classifier"  # scikit-learn's name for it
