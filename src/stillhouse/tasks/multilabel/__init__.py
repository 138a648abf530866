"""Multi-label classification: several labels, each of which a row has or has not."""
