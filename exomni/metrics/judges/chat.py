"""A judge behind a chat completion service that speaks OpenAI's protocol (api.openai.com, vLLM, llama.cpp, ...)."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from exomni.config.registry import register
from exomni.metrics.judges.base import Judge

SERVICE = "https://api.openai.com/v1"
BASE_URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # states of a server that may have gone in a moment
LONGEST_PAUSE = 60.0  # seconds


@register("judge", "openai")
class ChatJudge(Judge):
    """VoiceBench's judge: gpt-4o-mini, three samples, temperature .5, top-p .95. Own prompts unless files give others.

    The service's address and key come from the environment variables OPENAI_BASE_URL (default: OpenAI's) and OPENAI_API_KEY
    (a service on the loopback needs none). A request that fails in passing is repeated `retries` times, with growing pauses.
    """

    name = "openai"

    def __init__(
        self,
        *,
        model: str = "gpt-4o-mini",
        samples: int = 3,
        temperature: float = 0.5,
        top_p: float = 0.95,
        max_tokens: int = 1024,
        timeout_seconds: float = 60.0,
        retries: int = 5,
        pause_seconds: float = 1.0,
        judge_prompt_file: str = "",
        reference_prompt_file: str = "",
    ) -> None:
        super().__init__(samples=samples, judge_prompt_file=judge_prompt_file, reference_prompt_file=reference_prompt_file)
        self.settings = {"model": model, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        self.timeout_seconds, self.retries, self.pause_seconds = timeout_seconds, retries, pause_seconds

    @property
    def base_url(self) -> str:
        """Address of the service, without a slash at its end."""
        return os.environ.get(BASE_URL, SERVICE).rstrip("/")

    @property
    def reason(self) -> str:
        if self.base_url == SERVICE and not os.environ.get(KEY):
            return f"{KEY} is not set; set it, or {BASE_URL} to a service of your own"
        return ""

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), **self.settings}

    def ask(self, text: str) -> list[str]:
        """`samples` verdicts. Services that give one answer a request are asked again. ConnectionError when it stays away."""
        verdicts: list[str] = []
        while len(verdicts) < self.samples:
            body = {
                **self.settings,
                "n": self.samples - len(verdicts),
                "messages": [{"role": "user", "content": text}],
            }
            verdicts += _verdicts(self._post(body), self.base_url)
        return verdicts[: self.samples]

    def _post(self, body: dict[str, Any]) -> Any:
        for attempt in range(self.retries + 1):
            try:
                return self._request(body)
            except urllib.error.HTTPError as error:
                said, pause = _said(error), _retry_after(error)
                if error.code not in PASSING:
                    advice = f"; check {KEY}" if error.code in (401, 403) else ""
                    raise ValueError(f"{self.base_url} refuses the judge's request ({error.code}): {said}{advice}") from None
                problem = f"{error.code}: {said}"
            except (OSError, HTTPException, json.JSONDecodeError) as error:
                problem, pause = f"{type(error).__name__}: {error}", None
            if attempt < self.retries:
                time.sleep(min(LONGEST_PAUSE, self.pause_seconds * 2**attempt if pause is None else pause))
        raise ConnectionError(
            f"{self.base_url} gave no verdict in {self.retries + 1} attempts ({problem}); verdicts so far are kept: "
            "the same command goes on from there"
        )

    def _request(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        request = urllib.request.Request(f"{self.base_url}/chat/completions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.timeout_seconds) as reply:
            return json.loads(reply.read())


def _verdicts(reply: Any, service: str) -> list[str]:
    try:
        found = [str(choice["message"]["content"] or "") for choice in reply["choices"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{service} answered something that is no chat completion ({error!r})") from None
    if not found:
        raise ValueError(f"{service} answered a chat completion without any choice")
    return found


def _said(error: urllib.error.HTTPError) -> str:
    """What the service says about its error, one short line."""
    text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:300] or str(error.reason)


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Seconds that the service asks to wait; None where it names none, or a date."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return None
