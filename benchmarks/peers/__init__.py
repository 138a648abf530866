"""What a competent person would do in place of Stillhouse, on the same rows; writes docs/peers.md.

    python -m benchmarks.peers                      runs what has not run yet, then writes the page
    python -m benchmarks.peers autogluon lightgbm   only these peers, again
    python -m benchmarks.peers --page               only writes the page

Our side comes first: the run folders of ``python -m benchmarks.examples`` (churn, newsgroups, mnist). From each a
folder in ``runs/peers`` is written that holds its rows, labels and the teacher's answers, and no label of a test row.
Each peer reads that folder in an environment of its own (``requirements/<name>.txt``, made once, which needs the
network) and answers the test rows; this side judges the answers of all alike. Nothing here is part of the product, of
its tests or of its dependencies.
"""
