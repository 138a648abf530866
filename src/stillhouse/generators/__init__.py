"""Nets that make rows from random codes, and the training steps in which they are what is trained."""
