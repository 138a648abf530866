"""Pure tensor mathematics: divergences, reductions, softened and sparse targets. Imports torch only."""
