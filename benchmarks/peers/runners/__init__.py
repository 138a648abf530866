"""One file a peer, run in the peer's own environment: it imports nothing of Stillhouse."""
