"""Judgement of the predictions of all arms: quality, fidelity, harm, cost and the verdict, for any task."""

from stillhouse.evaluation.cost import measure_cost, measure_costs
from stillhouse.evaluation.gate import Criterion, check, junit
from stillhouse.evaluation.measures import check_measure
from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.scores import score

__all__ = ["Criterion", "Predictions", "check", "check_measure", "junit", "measure_cost", "measure_costs", "score"]
