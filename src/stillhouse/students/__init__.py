"""The zoo: small nets to distil into, and the larger ones that teach them.

A net's settings are the keyword arguments of its builder. Initialisation follows torch's global seed.
"""

from stillhouse.students.candidates import fitted_families, net_families, simple_candidates
from stillhouse.students.families import Member
from stillhouse.students.fitted import FITTED, check_reads, fit_soft, in_words, is_fitted
from stillhouse.students.zoo import ADD_UP, DEFAULT_OF_TEXTS, NETS, check, defaults, make, names

__all__ = [
    "ADD_UP", "DEFAULT_OF_TEXTS", "FITTED", "NETS", "Member", "check", "check_reads", "defaults", "fit_soft",
    "fitted_families", "in_words", "is_fitted", "make", "names", "net_families", "simple_candidates",
]  # fmt: skip
