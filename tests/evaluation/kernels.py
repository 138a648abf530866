"""Alignment of two representations by their kernels, from the formula of the paper."""

from __future__ import annotations

import numpy as np


def kernel_cka(a: np.ndarray, b: np.ndarray) -> float:
    """CKA as the paper's equation 4 writes it: HSIC of centred N x N kernels."""
    rows = len(a)
    centre = np.eye(rows) - 1 / rows
    k, l_ = centre @ a @ a.T @ centre, centre @ b @ b.T @ centre
    return float(np.trace(k @ l_) / np.sqrt(np.trace(k @ k) * np.trace(l_ @ l_)))
