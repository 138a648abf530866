"""Classification: everything specific to nets whose outputs are probabilities of classes."""
