"""Views: augmented rows. This folder is the registry: each file but ``base`` is a policy of its name."""
