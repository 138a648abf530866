"""The scikit-learn face of a distillation."""
