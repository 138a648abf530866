"""Property tests of this folder: no example is failed for its time, for machines are shared."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
