"""Judges: their words, what is read from theirs, and the one behind a service, against a server on the loopback."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from exomni.config import registry
from exomni.metrics.judges.base import Prompt, agrees, prompt, rating_of
from exomni.metrics.judges.chat import ChatJudge
from exomni.metrics.judges.stub import StubJudge


class Service:
    """A chat service that answers with what is in `script`: a list of verdicts, or a status, one entry a request."""

    def __init__(self, script):
        self.script, self.requests = list(script), []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.path, self.headers.get("Authorization"), body))
                answer = service.script.pop(0) if service.script else ["4"] * body["n"]
                status, headers = 200, {}
                if isinstance(answer, int):
                    status, reply = answer, {"error": {"message": f"no luck: {answer}"}}
                    headers = {"Retry-After": "0"}
                else:
                    reply = {"choices": [{"message": {"content": text}} for text in answer]}
                data = json.dumps(reply).encode() if answer != "junk" else b"<html>"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch):
    services = []

    def start(*script):
        services.append(Service(script))
        monkeypatch.setenv("OPENAI_BASE_URL", services[-1].url + "/")
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
        return services[-1]

    yield start
    for service in services:
        service.close()


def test_the_request_is_voicebenchs(serve):
    service = serve(["5", "4", "4"])
    assert ChatJudge().ask("How good?") == ["5", "4", "4"]
    ((path, key, body),) = service.requests
    assert (path, key) == ("/v1/chat/completions", "Bearer not-a-key")
    assert body == {
        "model": "gpt-4o-mini", "temperature": 0.5, "top_p": 0.95, "max_tokens": 1024, "n": 3,
        "messages": [{"role": "user", "content": "How good?"}],
    }  # fmt: skip


def test_a_service_of_one_answer_a_request_is_asked_again(serve):
    service = serve(["5"], ["3"], ["1", "2"])
    assert ChatJudge().ask("?") == ["5", "3", "1"]
    assert [body["n"] for _, _, body in service.requests] == [3, 2, 1]


def test_temporary_failures_are_retried_and_others_are_not(serve):
    service = serve(429, 503, ["2", "2", "2"])
    assert ChatJudge(pause_seconds=0.001).ask("?") == ["2", "2", "2"]
    assert len(service.requests) == 3
    service = serve(401)
    with pytest.raises(ValueError, match=r"refuses the judge's request \(401\): no luck: 401; check OPENAI_API_KEY") as raised:
        ChatJudge().ask("?")
    assert "not-a-key" not in str(raised.value) and len(service.requests) == 1


def test_an_address_that_answers_with_a_page_is_named(serve):
    serve("junk")
    with pytest.raises(ValueError, match=r"http://127.0.0.1:\d+/v1 answered something that is no chat completion"):
        ChatJudge().ask("?")


def test_a_service_that_stays_away(serve):
    serve(500, 500, 500)
    with pytest.raises(ConnectionError, match=r"no verdict in 3 attempts \(500: no luck: 500\)"):
        ChatJudge(retries=2, pause_seconds=0.001).ask("?")


def test_a_service_that_does_not_answer_in_time(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ConnectionError, match="in 2 attempts .*timed out"):
            ChatJudge(timeout_seconds=0.1, retries=1, pause_seconds=0.001).ask("?")


def test_without_a_key_there_is_a_reason(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY is not set" in ChatJudge().reason
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert ChatJudge().reason == ""


def test_registered_judges():
    assert registry.names("judge") == ["none", "openai", "stub"]
    assert registry.build("judge", {"name": "none"}).reason == "no judge was chosen (judge: none)"
    judge = registry.build("judge", {"name": "openai", "model": "local", "samples": 1})
    assert judge.identity() == {
        "judge": "openai", "samples": 1, "model": "local", "temperature": 0.5, "top_p": 0.95, "max_tokens": 1024,
    }  # fmt: skip
    with pytest.raises(ValueError, match="samples is 0"):
        StubJudge(samples=0)


def test_what_is_read_of_a_verdict():
    assert [rating_of(text) for text in ("4", "Score: 5/5", "3.5 points", "I give it 2.", "10", "good", "5.5", "-")] == [
        4, 5, 3.5, 2, None, None, None, None,
    ]  # fmt: skip
    assert [agrees(text) for text in ("Yes.", "no", "NO - wrong year", "Perhaps")] == [True, False, False, None]


def test_prompts_are_filled_at_once_and_may_be_yours(tmp_path):
    own = prompt("rating")
    filled = own.fill(prompt="Why {response}?", response="Because {prompt}.")
    assert "Why {response}?" in filled and "Because {prompt}." in filled and own.origin == "exomni"
    path = tmp_path / "mine.txt"
    path.write_text("Rate {response} for {prompt}.")
    mine = StubJudge(judge_prompt_file=str(path)).prompts["rating"]
    assert (mine.fill(prompt="p", response="r"), mine.origin) == ("Rate r for p.", "mine.txt")
    assert mine.digest != own.digest and mine == Prompt("Rate {response} for {prompt}.", "mine.txt")
    path.write_text("Rate {response}.")
    with pytest.raises(ValueError, match=r"has no \{prompt\}"):
        prompt("rating", str(path))
    with pytest.raises(FileNotFoundError, match="no judge prompt there"):
        prompt("reference", str(tmp_path / "absent.txt"))


def test_the_stub_reads_our_own_prompts():
    judge = StubJudge()
    asked = prompt("reference").fill(prompt="Capital?", reference="Paris", response="It is paris, surely.")
    assert judge.ask(asked) == ["Yes"] * 3
    assert judge.ask(prompt("reference").fill(prompt="Capital?", reference="Paris", response="Rome")) == ["No"] * 3
    assert judge.ask(prompt("rating").fill(prompt="Hi", response="Hello")) == ["3"] * 3
