"""Splits of the rows into parts: at random, by group, in time; and rows that are in two parts."""
