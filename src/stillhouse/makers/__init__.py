"""Makers of rows: where there are no data, or hardly any; each file of this folder is a maker of that name."""
