"""Tests of the tensor mathematics."""
