"""A judge behind a chat completion service that speaks OpenAI's protocol (api.openai.com, vLLM, llama.cpp, ...)."""

from __future__ import annotations

import os
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from exomni.config.registry import register
from exomni.metrics.judges.base import Judge

SERVICE = "https://api.openai.com/v1"
BASE_URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # statuses after which a request is repeated
LONGEST_PAUSE = 60  # seconds


@register("judge", "openai")
class ChatJudge(Judge):
    """VoiceBench's judge: gpt-4o-mini, three samples, temperature .5, top-p .95. Own prompts unless files give others.

    The service's address and key come from the environment variables OPENAI_BASE_URL (default: OpenAI's) and OPENAI_API_KEY
    (a service on the loopback needs none). A request that fails for a moment is repeated `retries` times, with growing pauses,
    or after the time that the service asks for (Retry-After).
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
        self.timeout_seconds = timeout_seconds
        self.retry = Retry(
            retries,
            allowed_methods=None,  # every method
            status_forcelist=TEMPORARY,
            raise_on_status=False,
            redirect=False,
            backoff_factor=pause_seconds,
            backoff_max=LONGEST_PAUSE,
        )

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
        """`samples` verdicts; a service that gives one answer a request is asked again.

        ConnectionError when it does not answer; ValueError when it refuses, or answers with something else than verdicts.
        """
        verdicts: list[str] = []
        while len(verdicts) < self.samples:
            messages = [{"role": "user", "content": text}]
            verdicts += self._request({**self.settings, "n": self.samples - len(verdicts), "messages": messages})
        return verdicts[: self.samples]

    def _request(self, body: dict[str, Any]) -> list[str]:
        key = os.environ.get(KEY)
        with requests.Session() as session:
            session.mount(self.base_url, HTTPAdapter(max_retries=self.retry))
            try:
                reply = session.post(
                    f"{self.base_url}/chat/completions",
                    json=body,
                    headers={"Authorization": f"Bearer {key}"} if key else {},
                    timeout=self.timeout_seconds,
                )
            except requests.RequestException as error:
                raise self._no_answer(str(error)) from None
        if reply.status_code in TEMPORARY:
            raise self._no_answer(f"{reply.status_code}: {_message(reply)}")
        if reply.status_code != 200:
            advice = f"; check {KEY}" if reply.status_code in (401, 403) else ""
            raise ValueError(f"{self.base_url} refuses the judge's request ({reply.status_code}): {_message(reply)}{advice}")
        try:
            found = [str(choice["message"]["content"] or "") for choice in reply.json()["choices"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.base_url} answered something that is no chat completion ({error!r})") from None
        if not found:
            raise ValueError(f"{self.base_url} answered a chat completion without any choice")
        return found

    def _no_answer(self, problem: str) -> ConnectionError:
        return ConnectionError(
            f"{self.base_url} gave no verdict in {1 + int(self.retry.total or 0)} attempts ({problem}); verdicts so far are "
            "kept: run the same command again to ask for the others"
        )


def _message(reply: requests.Response) -> str:
    """What the service says about its error, one short line."""
    try:
        return str(reply.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(reply.text.split())[:300] or str(reply.reason)
