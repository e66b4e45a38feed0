"""Requests over HTTP: what a server's status means for the call and for the run, and a key that never shows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pixelword.errors import ConfigError
from pixelword.realunify.backends.calls import CallFailed, NotSupported, RunStopped
from pixelword.realunify.records import Outcome

if TYPE_CHECKING:
    import httpx

File = tuple[str, tuple[str, bytes, str]]
"""Field name, then file name, content and type, as a form carries it."""

QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota|credit balance", re.IGNORECASE)
SAFETY = re.compile(r"content_policy|moderation|content_filter|safety|responsible.?ai|prohibited", re.IGNORECASE)

PARAMETER = re.compile(
    r"(unknown|unsupported|invalid|unrecognized|unexpected)[ _](parameter|argument|field|key|type|value)"
    r"|extra (inputs|fields)|not permitted",
    re.IGNORECASE,
)
"""A refused setting, whatever its name: `moderation` is one."""

LONGEST_PAUSE = 120.0
"""Seconds; a server that asks for more is not waited for so long."""


class Refused(Exception):
    """The server's filter declined this request."""


class Http:
    """A client of one server.

    Raises:
        ConfigError: a secret in the address.

    Args:
        base_url: what stands before the path of each request.
        key: sent as a header; empty for a server that asks for none.
        header: name of the header, and what stands before the key in it.
        timeout: seconds without a byte after which a request is given up.
    """

    def __init__(
        self, base_url: str, key: str, timeout: float = 600.0, header: tuple[str, str] = ("Authorization", "Bearer ")
    ) -> None:
        parts = urlsplit(base_url)
        if "@" in parts.netloc or parts.query:
            raise ConfigError(
                "an address with a password or a query would stand in the log",
                got=re.sub(r"//[^/\s]*@", "//", base_url).partition("?")[0],
                fix="set the key in the environment, see key_env",
            )
        self.base_url, self.key, self.timeout = base_url.rstrip("/"), key, timeout
        self.headers = {header[0]: header[1] + key} if key else {}
        self.client: httpx.AsyncClient | None = None

    def hide(self, text: str) -> str:
        """A text without the key, and without a user name and password inside an address."""
        if self.key:
            text = text.replace(self.key, "[key]")
        return re.sub(r"(https?://)[^/\s@]+@", r"\1", text)

    async def post(
        self,
        path: str,
        payload: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[File] = (),
        plain: Mapping[str, bytes] | None = None,
    ) -> dict[str, Any]:
        """The object that a server answers to JSON or to a form with files.

        Args:
            plain: token -> a long text without anything to escape, which takes the token's place in the JSON;
                searching megabytes of base64 for quotes is what a request costs most.

        Raises:
            Refused: its filter declined.
            CallFailed, NotSupported, RunStopped: see these.
        """
        import httpx

        if self.client is None:
            # The number of connections is bounded by the caller.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self.client = httpx.AsyncClient(timeout=self.timeout, limits=limits, headers=self.headers)
        try:
            if payload is not None:
                content = json.dumps(payload).encode()
                for token, text in (plain or {}).items():
                    content = content.replace(b'"%s"' % token.encode(), b'"%s"' % text)
                kind = {"Content-Type": "application/json"}
                reply = await self.client.post(f"{self.base_url}/{path}", content=content, headers=kind)
            else:
                reply = await self.client.post(f"{self.base_url}/{path}", data=dict(form or {}), files=list(files))
        except httpx.TimeoutException as error:
            fix = "raise --timeout, or lower --at-once"
            raise CallFailed("the server did not answer in time", fix=fix, outcome=Outcome.TIMEOUT) from error
        except httpx.TransportError as error:
            got = self.hide(f"{type(error).__name__}: {error}")
            raise CallFailed("the connection broke", got=got, fix="check that the server runs") from error
        except httpx.InvalidURL as error:
            raise RunStopped("the address is no URL", got=self.hide(self.base_url), fix="give http://...") from error
        if not reply.is_success:
            self.judge_status(reply.status_code, reply.text, reply.headers)
        return self.read_object(reply.content)

    def read_object(self, content: bytes) -> dict[str, Any]:
        """A JSON object without the key, or CallFailed for a reply that was cut off or is none."""
        if self.key and self.key.encode() in content:
            content = content.replace(self.key.encode(), b"[key]")
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            got = self.hide(repr(content[:80]))
            raise CallFailed("the reply is not JSON", got=got, fix="check the address of the server") from error
        if not isinstance(values, dict):
            got = type(values).__name__
            raise CallFailed("the reply is no JSON object", got=got, fix="check the address of the server")
        return values

    def judge_status(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        """Raise what a status other than success means."""
        raise meaning(status, f"{status} {self.hide(' '.join(text[:300].split()))}".strip(), text, headers)

    async def close(self) -> None:
        """Close the connections."""
        if self.client is not None:
            await self.client.aclose()
            self.client = None


def meaning(status: int, got: str, text: str, headers: Mapping[str, str]) -> Exception:
    """What a status other than success means, as the exception to raise.

    Args:
        got: what is shown of it, without any key.
        text: what the server said.
    """
    if status in (401, 403):
        return RunStopped("the server refuses the key", got=got, fix="set the right key in the environment")
    if status == 402 or (status == 429 and QUOTA.search(text)):
        return RunStopped("the quota is used up", got=got, fix="top up the account; the same command goes on")
    if status == 404:
        fix = "check the model's name and the address; leave out what the server lacks with can=..."
        return RunStopped("the server knows no such model or address", got=got, fix=fix)
    if status in (405, 501):
        return NotSupported("the server cannot do this", got=got, fix="leave it out with can=...")
    if status in (400, 422, 451) and SAFETY.search(text) and not PARAMETER.search(text):
        return Refused(got)
    if status in (408, 409, 425, 429) or status >= 500:
        return CallFailed(
            "the server could not answer",
            got=got,
            fix="look at the server, or lower --at-once",
            after=pause(headers),
            outcome=Outcome.TIMEOUT if status in (408, 504) else Outcome.FAILED,
            busy=status in (429, 503),
        )
    return CallFailed("the server rejects the request", got=got, fix="check size and settings", again=False)


def pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for, as a number or as a date."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), LONGEST_PAUSE)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE)


def key_from(names: Sequence[str], *, needed: bool) -> str:
    """The first key that the environment holds. Keys are never taken from a command line, where logs would keep them.

    Raises:
        ConfigError: none of them is set although one is needed.
    """
    for name in names:
        if key := os.environ.get(name, "").strip():
            return key
    if needed:
        raise ConfigError("there is no key for this server", fix=f"set {' or '.join(names)} in the environment")
    return ""


def looks_like_a_key(name: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    return any(word in name.upper() for word in ("API_KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"))
