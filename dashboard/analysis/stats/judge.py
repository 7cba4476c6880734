"""A language model as a judge, at an address that the user gives: any server with OpenAI's chat completions.

It is asked for two whole numbers, 0 to 5: how much of the theme a text shows, and how coherent it is. Nothing is sent unless
somebody gives an address. The key is sent to that address only, is kept nowhere and stands in no message.

Source: the rubric of Laptev et al. 2025, arXiv:2502.03032, section 6 (gpt-4o-mini, 0 to 5). The wording is ours.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dashboard.analysis.errors import BadAsk, JudgeFailed

_MAX_BYTES = 1_000_000
_MAX_TEXT = 8_000
_RUBRIC = """You grade a text that a small language model wrote after a prompt. Theme: {theme}.
Give two whole numbers from 0 to 5.
behaviour: 0 = nothing of the theme, 5 = the text is about little else.
coherence: 0 = no language, or the same words over and over; 5 = reads like a person's text.
Answer with JSON only: {{"behaviour": N, "coherence": N}}"""


@dataclass(frozen=True)
class Verdict:
    """What a judge says, each 0 to 1 (its 0 to 5, divided by 5)."""

    behaviour: float
    coherence: float


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:  # a key must not travel on
        return None


@dataclass(frozen=True)
class Judge:
    """Where the judge is."""

    address: str
    """http(s)://HOST[:PORT]/v1, or the whole address of its chat completions."""
    model: str
    key: str = field(default="", repr=False)
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise BadAsk(f"{self.address[:80]!r} is not the address of a judge. The form is http(s)://HOST[:PORT]/v1.")
        if not self.model.strip():
            raise BadAsk("The judge's model has no name: 0 characters. Give the name that its server knows.")

    def verdict(self, theme: str, prompt: str, text: str) -> Verdict:
        """What it says of one text.

        Raises:
            JudgeFailed: if it cannot be reached or does not answer with two numbers.
        """
        question = f"Prompt: {prompt[:_MAX_TEXT]}\n\nText: {text[:_MAX_TEXT]}"
        messages = [{"role": "system", "content": _RUBRIC.format(theme=theme)}, {"role": "user", "content": question}]
        answer = self._ask({"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 60})
        try:
            said = str(answer["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as error:
            raise JudgeFailed(
                f"The judge {self.model} at {self._host} answered without a text. Is it a server of chat completions?"
            ) from error
        return Verdict(*(self._number(said, name) / 5 for name in ("behaviour", "coherence")))

    def scores(self, theme: str, prompt: str, text: str) -> tuple[float, float]:
        """The verdict as `flow_steering` takes it."""
        found = self.verdict(theme, prompt, text)
        return found.behaviour, found.coherence

    def _number(self, said: str, name: str) -> int:
        found = re.search(rf'"?{name}"?\s*[:=]\s*"?([0-5])(?![\d.])', said)
        if found is None:
            raise JudgeFailed(f"The judge {self.model} gave no {name} from 0 to 5; it said {said[:80]!r}. Choose a larger model.")
        return int(found[1])

    @property
    def _host(self) -> str:
        return urlsplit(self.address).netloc

    def _ask(self, body: dict[str, Any]) -> Any:
        address = self.address.rstrip("/")
        address = address if address.endswith("/chat/completions") else f"{address}/chat/completions"
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        request = Request(address, json.dumps(body).encode(), headers)
        try:
            with build_opener(_NoRedirect).open(request, timeout=self.timeout_s) as response:
                return json.loads(response.read(_MAX_BYTES))
        except HTTPError as error:
            raise JudgeFailed(
                f"The judge at {self._host} answered {error.code} {error.reason}. Check the address, the model and the key."
            ) from None
        except (URLError, OSError) as error:
            raise JudgeFailed(f"The judge at {self._host} cannot be reached: {getattr(error, 'reason', error)}.") from None
        except ValueError as error:
            raise JudgeFailed(f"The judge at {self._host} answered with no JSON. Is it a server of chat completions?") from error
