"""Opens a booster's file in a process of its own: a damaged one makes LightGBM abort its process.

Run as a program, ``python -P boosters_child.py LIBRARY FILE``; writes ``{}``, or ``{"refused": why}``, as JSON.
"""

from __future__ import annotations

import json
import sys

import numpy as np

SLOW = ("dask", "graphviz", "matplotlib", "pandas", "pyarrow", "sklearn")  # optional, and seconds to import


def lightgbm(path: str) -> None:
    """Open LightGBM's text and ask about two rows."""
    sys.modules.update(dict.fromkeys(SLOW))  # type: ignore[arg-type]  # None: such an import fails at once
    from lightgbm import Booster

    booster = Booster(model_file=path)
    booster.predict(np.zeros((2, booster.num_feature())))


def xgboost(path: str) -> None:
    """Open XGBoost's JSON or UBJSON and ask about two rows."""
    sys.modules.update(dict.fromkeys(SLOW))  # type: ignore[arg-type]  # None: such an import fails at once
    from xgboost import Booster, DMatrix

    booster = Booster()
    booster.load_model(path)
    rows = DMatrix(np.zeros((2, booster.num_features())))
    booster.predict(rows, validate_features=False)


def catboost(path: str) -> None:
    """Open CatBoost's own format and ask about two rows."""
    from catboost import CatBoost

    model = CatBoost()
    model.load_model(path, format="cbm")
    if not model.get_cat_feature_indices() and not model.get_text_feature_indices():
        model.predict(np.zeros((2, len(model.feature_names_))))


if __name__ == "__main__":
    library, file = sys.argv[1:]
    answer = {}
    try:
        {"lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost}[library](file)
    except Exception as error:  # each library has errors of its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        answer["refused"] = f"it cannot be read as a model of {library} ({lines[0][:300].rstrip('.')})"
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
