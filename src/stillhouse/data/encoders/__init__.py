"""From rows as they were read to what nets see, fitted on training rows, and back."""
