"""The teacher of a run: built or trained, examined, and asked once."""
