"""Float64 references written from the papers in numpy. Only registry.py imports stillhouse."""
