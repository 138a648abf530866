"""Why figures are missed, by the beginning of their names: what the profiles below them show, in words."""

from __future__ import annotations

CAUSES: dict[str, str] = {
    "step with all logging on / hand-written loop, S": (
        "A step of this size is bookkeeping: some 0.7 ms for tensor operations of 2 to 5 microseconds each. A node of "
        "the graph that is written in Python costs about 25 us more than a built-in one, the checks of the teacher's "
        "answer cost 15 us, and each 50th step goes backward once for each term. The optimiser, which calls its kernel "
        "itself, gives 50 us back."
    ),
    "step with all logging on / hand-written loop, L": (
        "The difference is the log: on every 50th step each term has a backward pass of its own, one more than without "
        "the norms of two. `[training] log_every = 500` makes it a tenth."
    ),
    "gradient error at 128 bytes a token, peaked": (
        "An index of 49,152 classes takes 4 bytes (int16 reaches 32,767), so 21 classes and the tail fit into 128. "
        "What is missed is the mass beyond them, which no precision of the 21 gives back."
    ),
    "10 epochs M from cold": (
        "The profile is the nets' own arithmetic: the student's forward and backward pass, which torchdistill has to "
        "do too, and one pass of the teacher. These parts alone are as slow as the whole (see the figure with store): "
        "only faster convolutions would help, since channels-last order is used already and torch.compile was slower."
    ),
    "10 epochs L from cold": (
        "The profile is the nets' own arithmetic: the student's backward pass, and forward passes of both nets, the "
        "teacher's once for each row beside the two that check it. What is left is the ratio of the nets themselves."
    ),
    "10 epochs M with store": (
        "Beside the parts stand the search for the batch size, the check that the teacher repeats itself, the gradient "
        "norms of two terms in place of one, and a divergence in place of none."
    ),
    "verified shuffled gather of 128 rows / numpy.take, top-32": (
        "Two takes of 128 short rows last about as long as the calls around them: checking that rows and views lie "
        "within the store costs a microsecond or two a batch, whatever its size."
    ),
    "gradient error at 128 bytes a token, flat (p ~ rank^-1)": (
        "The 21 classes that fit hold a third of such a teacher's mass. All else is one class, whose mass the student "
        "spreads in its own way, so the error is what the student's tail still has to learn. Sampling the tail "
        "(`sampled:21`) is right on average, but its single draw is further off."
    ),
    "seconds a row": "The seconds of each stage stand beside the figures above.",
    "resident memory": (
        "Row ids, their order in an epoch and what sorts it, the views' offsets and the rows' hashes are arrays of 8 "
        "bytes a row each; nothing of them is kept on disk. The answers themselves are mapped."
    ),
}
