"""A run whose teacher is a service: a real model behind OpenAI's interface, its answers, ceilings and journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stillhouse as sh
from stillhouse.errors import StoppedError, UsageError
from stillhouse.store import Store
from stillhouse.teachers.causal.loading import load_causal, open_causal
from stillhouse.teachers.causal.teacher import Tokens
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus
from tests.teachers.misbehaving_server import Handler, Server

pytestmark = pytest.mark.enable_socket
K = 6


def vllm(teacher: Path) -> Callable[[Handler], None]:
    """A causal model as vLLM serves it."""
    files = open_causal(str(teacher), None)
    net, words = Tokens(load_causal(files), files.vocabulary.size), files.vocabulary.tokenizer

    def act(handler: Handler) -> None:
        asked = handler.server.bodies[-1]
        ids = torch.tensor(asked["prompt"])
        with torch.no_grad():
            logs = net(torch.stack([ids, torch.ones_like(ids)])[None])[0].log_softmax(-1)
        places: list[Any] = [None]
        for place, token in enumerate(ids[1:].tolist()):
            listed = dict.fromkeys([token, *logs[place].topk(asked["prompt_logprobs"]).indices.tolist()])
            places.append(
                {str(i): {"logprob": float(logs[place, i]), "decoded_token": words.decode([i])} for i in listed}
            )
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
        body = {"model": "m", "choices": [{"text": "x", "prompt_logprobs": places}], "usage": usage}
        handler.send(200, json.dumps(body).encode())

    return act


def served(server: Server, teacher: Path, folder: Path, name: str = "run", **endpoint: Any) -> dict[str, Any]:
    """A recipe whose teacher is the service."""
    made = table(teacher, folder / name, corpus=str(write_corpus(folder / "a.jsonl")), group="book", rows=12)
    made["data"]["tokenizer"] = str(teacher / "tokenizer.json")
    asked = {"url": server.url, "model": "m", "concurrency": 1, "api_key_env": ""}
    return made | {"teacher": {"endpoint": asked | endpoint}, "store": {"codec": f"topk:{K}"}}


@pytest.mark.slow
def test_a_served_teacher_teaches_as_the_model_behind_it_does(teacher: Path, tmp_path: Path) -> None:
    with Server(vllm(teacher)) as server:
        run = sh.distill(served(server, teacher, tmp_path), accept_teacher=True)
        asked = len(server.bodies)
        again = sh.distill(served(server, teacher, tmp_path), accept_teacher=True)
        assert len(server.bodies) == asked
    assert again.scores == run.scores
    here = table(teacher, tmp_path / "here", corpus=str(tmp_path / "a.jsonl"), group="book", rows=12)
    near = sh.distill(here | {"store": {"codec": f"topk:{K}"}}, accept_teacher=True)
    ids = np.arange(12)
    far, own = (Store.open(one.folder / "store").read(ids, np.zeros_like(ids)) for one in (run, near))
    spoken = far["log_probs"][..., 0] > -50  # padding has no mass there
    assert spoken.mean() > 0.5
    assert np.array_equal(far["indices"][spoken], own["indices"][spoken])
    assert np.allclose(far["log_probs"][spoken], own["log_probs"][spoken], atol=5e-3)
    losses = [one.scores["models"]["teacher"]["measures"]["loss"]["value"] for one in (run, near)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-2)  # the service tells the next token's but for the last


@pytest.mark.slow
def test_a_served_teacher_answers_a_student_that_writes(teacher: Path, tmp_path: Path) -> None:
    with Server(vllm(teacher)) as server:
        recipe = served(server, teacher, tmp_path) | {"on_policy": {"steps": 2, "new_tokens": 6}}
        run = sh.distill(recipe, accept_teacher=True)
    lines = [json.loads(one) for one in (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"reverse_kl"} <= {name for one in lines if one["arm"] == "distilled" for name in one["terms"]}


@pytest.mark.slow
def test_a_ceiling_stops_a_run_and_a_higher_one_resumes_it(teacher: Path, tmp_path: Path) -> None:
    with Server(vllm(teacher)) as server:
        with pytest.raises(StoppedError, match="max_calls = 9"):
            sh.distill(served(server, teacher, tmp_path, max_calls=9), accept_teacher=True)
        assert len(server.bodies) == 9
        run = sh.distill(served(server, teacher, tmp_path, max_calls=9999), accept_teacher=True)
    prompts = [tuple(one["prompt"]) for one in server.bodies]
    assert len(set(prompts)) == len(prompts)
    assert run.scores["models"]["distilled"]


def test_what_a_service_cannot_give_is_refused_before_it_is_asked(teacher: Path, tmp_path: Path) -> None:
    with Server(vllm(teacher)) as server:
        recipe = served(server, teacher, tmp_path)
        for change, words in (
            ({"data": {k: v for k, v in recipe["data"].items() if k != "tokenizer"}}, "its tokenizer is needed"),
            ({"student": {"derive": {"layers": 1}}}, "a service shows no weights"),
            ({"store": {"codec": "hidden"}}, "lists the largest classes"),
            ({"on_policy": {"steps": 2, "writer": "teacher"}}, "needs a teacher on this machine"),
        ):
            with pytest.raises(UsageError, match=words):
                sh.distill(recipe | change)
        assert not server.bodies
