"""The students of a run: built, trained and loaded again."""
