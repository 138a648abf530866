"""A service may be broken or hostile, and a recipe may hold a key: no key is written or shown."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from stillhouse.cli import main
from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.endpoint.addresses import Resolver, address, is_barred
from tests.pipeline.test_teachers_of_all_kinds import service_recipe, texts_of, write_texts
from tests.shell import run
from tests.teachers.misbehaving_server import Act, Server, answer, completion, raw, status

KEY = "sk-proj-7Qh2Vd9LmZx4Tn8Rw1Ys"
PARTS = [KEY[i : i + 8] for i in range(len(KEY) - 7)]


@pytest.mark.fault("C12", "a link-local, multicast or unspecified address as service, over https too", exit=2)
@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[fe80::1%25eth0]", "[::ffff:169.254.169.254]", "0.0.0.0", "[::]", "224.0.0.1",
     "[ff02::1]", "[2002:a9fe:a9fe::]", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_address_where_no_service_may_be_is_refused(scheme: str, host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"never asked|four numbers"):
        address(f"{scheme}://{host}/v1", allow_http=True)


@pytest.mark.fault("C12", "a name or a number in another form that leads to a link-local address", exit=4)
@pytest.mark.enable_socket
@pytest.mark.parametrize("host", ["2852039166", "0xA9FEA9FE", "metadata.example"])
def test_a_name_that_leads_there_is_refused_before_the_connection(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    real = socket.getaddrinfo

    def resolve(name: Any, *given: Any, **more: Any) -> Any:
        return real("169.254.169.254" if name == "metadata.example" else name, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    request = httpx.Request("POST", f"https://{host}/v1")
    with pytest.raises(RejectedError, match="never asked"):
        asyncio.run(Resolver().pin(request))


@pytest.mark.enable_socket
def test_a_request_goes_to_the_number_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    answers = iter(["93.184.216.34", "169.254.169.254"])
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *given, **more: real(next(answers), *given, **more))
    resolver = Resolver()
    for _ in range(2):  # the name has another address the second time
        request = httpx.Request("POST", "https://changing.example/v1")
        asyncio.run(resolver.pin(request))
        assert request.url.host == "93.184.216.34"
        assert request.headers["host"] == "changing.example"
        assert request.extensions["sni_hostname"] == "changing.example"


def test_usual_addresses_are_free() -> None:
    import ipaddress

    for number in ("127.0.0.1", "10.0.0.1", "192.168.1.5", "93.184.216.34", "::1", "fd00::1", "2606:4700::1111"):
        assert not is_barred(ipaddress.ip_address(number))


SECRETS = (
    f"https://me:{KEY}@host/v1", f"https://{KEY}@host/v1", f"https://host/v1?api_key={KEY}",
    f"https://host/v1?api-key={KEY}", f"https://host/v1?key={KEY}", f"https://host/v1?x=1&access_token={KEY}",
    f"https://host/v1?X-Amz-Signature={KEY}", f"https://host/v1?subscription-key={KEY}", f"https://host/v1#token={KEY}",
    f"https://host/v1?code={KEY}",
)  # fmt: skip


@pytest.mark.fault("D13", "a key or a password in a URL, or in a key of the recipe", exit=2)
@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("command", ["distill", "label", "plan", "distill --print-recipe"])
def test_a_secret_in_a_url_is_refused_before_anything_is_written(command: str, url: str, tmp_path: Path) -> None:
    write_texts(tmp_path, texts_of(60))
    recipe = service_recipe(tmp_path, url)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(f"{command} {recipe}")
    assert (code, out) == (2, "")
    assert "teacher.endpoint.url" in err
    assert "api_key_env" in err
    assert not any(part in err for part in PARTS)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.fault("D13", "a key in a flag, in `extra`, in the place of a variable's name, or in another URL", exit=2)
@pytest.mark.parametrize(
    "table",
    [
        {"teacher": {"hub": f"https://u:{KEY}@hub/x"}},
        {"data": {"path": f"s3://u:{KEY}@bucket/x.csv"}},
        {"teacher": {"endpoint": {"extra": {"api_key": KEY}}}},
        {"teacher": {"endpoint": {"api_key_env": KEY}}},
        {"teacher": {"endpoint": {"api_key_env": "AIzaSyA1b2c3d4e5f6g7h8i9j0klmno"}}},
        {"method": [{"name": "hinton", "where": f"https://host?token={KEY}"}]},
    ],
)
def test_a_secret_anywhere_in_a_recipe_is_refused(table: dict[str, Any], tmp_path: Path) -> None:
    import tomli_w

    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(table | {"output": {"dir": str(tmp_path / "run")}}))
    code, _, err = run(f"distill {tmp_path / 'recipe.toml'}")
    assert code == 2
    assert not any(part in err for part in PARTS)
    assert "AIza" not in err
    assert not (tmp_path / "run").exists()


def by_name(rows: list[tuple[str, str]]) -> dict[str, list[Act]]:
    return {text: [answer(f"Label: {label.upper()}.")] for text, label in rows}


@pytest.mark.enable_socket
@pytest.mark.fault("D13", "a server repeats the key, or half of it, in answers and errors", exit=75)
def test_a_planted_key_is_in_no_file_and_in_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    plan = by_name(rows)
    first, second, third, fourth = (rows[i][0] for i in range(4))
    plan[first].insert(0, raw(f"no json, you sent {KEY[:14]}".encode(), content_type="text/plain"))
    plan[second].insert(0, raw(json.dumps({"you sent": KEY[10:]}).encode()))
    plan[third] = [answer(f"I got the header Bearer {KEY[5:20]}")]
    plan[fourth] = [answer(None, refusal=f"{KEY[:12]} may not ask this")]
    with Server(plan=plan) as server:
        recipe = service_recipe(tmp_path, server.url, samples=1, api_key_env="THE_KEY")
        assert main(["distill", str(recipe), "--accept-teacher"]) == 0
        assert any(headers.get("Authorization") == f"Bearer {KEY}" for headers in server.headers)
        told = capsys.readouterr()
        server.plan, server.default = {}, status(500, f"limit of {KEY[3:18]} and {KEY[-9:]}")
        again = [str(recipe), "--output.dir", str(tmp_path / "again"), "--training.seeds", "7"]
        from stillhouse.teachers.endpoint import client

        monkeypatch.setattr(client, "FIRST_WAIT", 0.0)
        assert main(["label", *again]) == 75
        server.default = status(403, f"wrong key {KEY[:10]}")
        assert main(["label", *again]) == 4
    more = capsys.readouterr()
    assert "THE_KEY" in more.err
    everything = told.out + told.err + more.out + more.err
    for path in tmp_path.rglob("*"):
        if path.is_file():
            everything += path.read_bytes().decode("latin-1")
    assert [part for part in PARTS if part in everything] == []
    assert "[key]" in everything


@pytest.mark.enable_socket
@pytest.mark.fault("F18", "the service does not accept the key (401, 403): its environment variable is named", exit=4)
@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_not_accepted_is_named_by_its_variable(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    with Server(status(code)) as server:
        recipe = service_recipe(tmp_path, server.url, samples=1, api_key_env="THE_KEY")
        assert main(["label", str(recipe)]) == 4
        assert "export THE_KEY=" in capsys.readouterr().err
        server.default, server.plan = answer("A"), by_name(rows)
        assert main(["label", str(recipe)]) == 0


@pytest.mark.enable_socket
@pytest.mark.fault("F18", "a service that answers with something else than JSON stops after 20 answers", exit=75)
@pytest.mark.parametrize(
    "act", [raw(b"<html>login</html>", content_type="text/html"), raw(b"[1, 2]"), raw(b"{"), raw(b"[" * 100_000)]
)
def test_a_service_that_is_none_stops_after_twenty_answers_and_resumes(
    act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stillhouse.teachers.endpoint import client

    monkeypatch.setattr(client, "FIRST_WAIT", 0.0)
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    with Server(act) as server:
        recipe = service_recipe(tmp_path, server.url, concurrency=2, samples=1)
        assert main(["label", str(recipe)]) == 75
        assert "no chat completions" in capsys.readouterr().err
        assert sum(server.asked.values()) in (20, 21)
        server.plan = by_name(rows)
        assert main(["label", str(recipe)]) == 0
    assert "0 of 60 rows left out" in capsys.readouterr().err


@pytest.mark.enable_socket
@pytest.mark.fault("D14", "a server's words hold terminal escapes, or are very long", exit=75)
def test_the_words_of_a_server_are_escaped_and_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(tmp_path, texts_of(60))
    with Server(raw(json.dumps(completion("\x1b]0;owned\x07\u202e" + "x" * 900_000)).encode())) as server:
        assert main(["label", str(service_recipe(tmp_path, server.url, concurrency=2, samples=1))]) == 75
    err = capsys.readouterr().err
    assert len(err) < 6000
    assert not {"\x1b", "\x07", "\u202e"} & set(err)
