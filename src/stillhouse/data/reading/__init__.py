"""Reading: files that a recipe names, and the user's own data from Python."""
