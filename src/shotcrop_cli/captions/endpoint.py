"""A `Captioner` at any server that speaks the protocol of OpenAI's chat completions.

The client library repeats requests that time out or that the server refuses for now, with growing pauses, and waits as
long as the server asks for.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from shotcrop_cli.captions.answer import read_answer
from shotcrop_cli.captions.prompt import answer_schema, second_prompt, system_prompt, user_prompt
from shotcrop_cli.captions.settings import Endpoint
from shotcrop_cli.errors import CaptionError, ShotcropError
from shotcrop_cli.install_hint import add_extras
from shotcrop_cli.shots import CaptionRequest, PhotoText

_HOPELESS = {401: "it refuses the key", 403: "it refuses the key", 404: "it has no such model or address"}
"""Answers of a server that it would also give about every other photo."""


class EndpointCaptioner:
    """Asks a server. See `Captioner`.

    Args:
        endpoint: The server, and how to ask it.

    Raises:
        ShotcropError: The client library is missing, or the environment has no key.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            import openai
        except ImportError as error:
            raise ShotcropError("captions: the client library is not installed", hint=add_extras("captions")) from error
        self._endpoint = endpoint
        self._client = openai.OpenAI(
            base_url=endpoint.url,
            api_key=endpoint.key() or "none",
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
            # Crops go to the host that the first line of a run names, and to no other: not to one that it redirects to,
            # and on the same machine not through a proxy.
            http_client=openai.DefaultHttpxClient(follow_redirects=False, trust_env=not endpoint.is_local),
        )

    def caption(self, request: CaptionRequest, problems: Sequence[str] = ()) -> PhotoText:
        """Describe the crops of a photo. See `Captioner.caption`."""
        import openai

        try:
            response = self._client.chat.completions.create(
                model=self._endpoint.model,
                messages=self._messages(request, problems),
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "captions", "strict": True, "schema": answer_schema(request.shots)},
                },
            )
        except openai.APITimeoutError as error:
            raise self._error(f"no answer within {self._endpoint.timeout:g} s") from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise self._error(f"cannot be reached: {cause}") from error
        except openai.APIStatusError as error:
            reason = _HOPELESS.get(error.status_code, "it cannot answer")
            raise self._error(
                f"{reason} (HTTP {error.status_code})", ends_asking=error.status_code in _HOPELESS
            ) from error
        except (openai.OpenAIError, ValueError) as error:
            raise self._error("its answer is not JSON", answered=True) from error
        try:
            content = response.choices[0].message.content
        except (AttributeError, IndexError, TypeError) as error:
            raise self._error("its answer is not a chat completion", answered=True) from error
        try:
            return read_answer(content or "", request.shots)
        except ValueError as error:
            raise self._error(str(error), answered=True) from error

    def _messages(self, request: CaptionRequest, problems: Sequence[str]) -> Any:
        pictures = [*request.images, *([] if request.photo is None else [request.photo])]
        text = user_prompt(request) + (f" {second_prompt(problems)}" if problems else "")
        content: list[dict[str, object]] = [{"type": "text", "text": text}]
        for picture in pictures:
            url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        system = {"role": "system", "content": system_prompt(self._endpoint.language)}
        return [system, {"role": "user", "content": content}]

    def _error(self, what: str, *, ends_asking: bool = False, answered: bool = False) -> CaptionError:
        where = f"{self._endpoint.model} at {self._endpoint.host}"
        return CaptionError(f"{where}: {what}", ends_asking=ends_asking, answered=answered)
