"""From trained students to predictions, scores, explanations and the full evaluation."""
