"""Which rows are for what: drawn, by group, in time; and rows that stand on two sides."""
