"""A large model as a `Captioner`: it describes crops that another model made."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

from PIL import Image

from shotcrop_cli.captions.answer import read_answer
from shotcrop_cli.captions.prompt import second_prompt, system_prompt, user_prompt
from shotcrop_cli.errors import AnswerError, CaptionError, DeviceError, ModelError
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.large.composer import LargeComposer
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.notices import Notices
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import CaptionRequest, PhotoText


class LargeCaptioner:
    """Asks a large model on this machine. See `Captioner`. The first request loads the model.

    Args:
        bundle: The model folder.
        language: Language of the captions, as in BCP 47.
        notices: Receives how much memory the model takes.

    Raises:
        ModelError: It is no large model.
    """

    def __init__(self, bundle: Bundle, language: str, notices: Notices) -> None:
        if not isinstance(bundle.manifest, LargeManifest):
            raise ModelError(f"model {bundle.folder} writes no texts", hint="use an exported large model")
        self._bundle, self._language, self._notices = bundle, language, notices
        self._model: LargeComposer | None = None
        self._lock = threading.Lock()

    def caption(self, request: CaptionRequest, problems: Sequence[str] = ()) -> PhotoText:
        """Describe the crops of a photo. See `Captioner.caption`."""
        pictures = [*request.images, *([] if request.photo is None else [request.photo])]
        question = f"{system_prompt(self._language)} {user_prompt(request)}"
        if problems:
            question += f" {second_prompt(problems)}"
        with self._lock:
            answer = self._ask(question, [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures])
        try:
            return read_answer(answer, request.shots)
        except ValueError as error:
            raise self._error(str(error), answered=True) from error

    def _ask(self, question: str, pictures: Sequence[Image.Image]) -> str:
        try:
            if self._model is None:
                self._model = LargeComposer.load(self._bundle, Device("auto"), None, self._notices)
        except (ModelError, DeviceError) as error:
            raise self._error(error.message, ends_asking=True) from error
        try:
            return self._model.ask(question, pictures)
        except AnswerError as error:
            raise self._error(str(error), answered=True) from error
        except DeviceError as error:
            raise self._error(error.message) from error

    def _error(self, what: str, *, ends_asking: bool = False, answered: bool = False) -> CaptionError:
        name = self._bundle.manifest.name if isinstance(self._bundle.manifest, LargeManifest) else ""
        return CaptionError(f"{name}: {what}", ends_asking=ends_asking, answered=answered)
