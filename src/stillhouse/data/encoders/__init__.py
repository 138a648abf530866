"""From raw rows to the inputs of nets, fitted on training rows, and back."""
