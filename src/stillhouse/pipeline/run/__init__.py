"""The run folder, the progress of its stages, and the processes that work in it."""
