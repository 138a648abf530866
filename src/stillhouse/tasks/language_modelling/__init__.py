"""Language modelling: the probability of the token that follows, at each position of a window of text."""
