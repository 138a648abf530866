"""Methods that match values; see ``stillhouse.methods``."""
