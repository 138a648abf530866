"""The reference pages of docs/reference, made from the code.

python -m benchmarks.reference            write them
python -m benchmarks.reference --check    exit 1 where one is stale

``recipe.md``, ``commands.md``, ``nets.md``, ``python.md`` and ``exit-codes.md`` are generated; ``run-folder.md`` is
written by hand, and a test compares it with a real run.
"""
