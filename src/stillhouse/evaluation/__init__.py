"""Judgement: what the predictions of all arms say about quality, fidelity, calibration, harm, cost, and the verdict."""

from stillhouse.evaluation.cost import measure_cost, measure_costs
from stillhouse.evaluation.gate import Criterion, check, junit
from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.scores import score
from stillhouse.evaluation.verdict import WORDS

__all__ = ["WORDS", "Criterion", "Predictions", "check", "junit", "measure_cost", "measure_costs", "score"]
