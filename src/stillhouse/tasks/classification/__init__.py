"""Classification: what is particular to nets that answer with the probabilities of classes."""
