"""From a recipe to a run: its rows, its views, and the check of its settings before anything expensive starts."""
