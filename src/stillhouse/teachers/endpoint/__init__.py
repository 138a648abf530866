"""A service that classifies texts: its questions, answers, budget and journal."""
