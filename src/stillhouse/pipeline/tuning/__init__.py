"""The tournament: students, methods and budgets compared on validation rows of one store; the winner becomes a run."""
