"""What ``benchmarks/run.py`` measures: every figure a ratio of two things that ran side by side in one process."""
