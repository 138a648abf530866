"""Multi-label classification: any number of labels a row."""
