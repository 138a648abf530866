"""Methods that match independent labels; see ``stillhouse.methods``."""
