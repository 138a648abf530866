"""One file an example, by its name; see ``benchmarks.examples``."""
