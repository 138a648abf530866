"""The zoo: small nets to distil into, and the larger ones that teach them.

A net's settings are the keyword arguments of its builder. Initialisation follows torch's global seed.
"""

from stillhouse.students.fitted import FITTED, fit_soft, is_fitted
from stillhouse.students.zoo import NETS, check, defaults, make, names

__all__ = ["FITTED", "NETS", "check", "defaults", "fit_soft", "is_fitted", "make", "names"]
