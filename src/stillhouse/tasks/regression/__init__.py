"""One or several real targets for each row."""
