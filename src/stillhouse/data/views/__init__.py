"""Views: augmented rows. This folder is the registry: each file except ``base`` is a policy of the file's name."""
