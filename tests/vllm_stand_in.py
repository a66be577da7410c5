"""Stand-ins for vLLM's engine and server client: they answer with the tokens that they are given.

trl's own code for vLLM runs around them: it loads the engine or connects to the server, sends prompts and weights, and
reads what was sampled. A real engine needs a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl import import_utils
from trl.generation import vllm_generation

from shotcrop_train import grpo


@dataclass
class Sampled:
    """What the stand-in answers, and what it was sent.

    Args:
        answers: Tokens of each answer of a step, in the order of the prompts.
        loaded: Options that the engine or the connection was made with.
        prompts: The prompts of the last call as they came.
        sampling: How to sample.
        weights: The newest weights by name, as the engine would have them.
        synced: How often weights came.
    """

    answers: list[list[int]]
    loaded: dict[str, Any] = field(default_factory=dict)
    prompts: list[Any] = field(default_factory=list)
    sampling: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    synced: int = 0

    def take(self, weights: Sequence[tuple[str, torch.Tensor]] | Iterator[tuple[str, torch.Tensor]]) -> None:
        self.weights |= {name: weight.detach().clone() for name, weight in weights}

    def reset(self) -> None:
        self.synced += 1


def colocate(patch: pytest.MonkeyPatch, sampled: Sampled) -> None:
    """Put a stand-in in the place of `vllm.LLM`."""

    class Engine:
        def __init__(self, **options: Any) -> None:
            sampled.loaded = options
            runner = SimpleNamespace(model=SimpleNamespace(load_weights=sampled.take))
            worker = SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
            self.llm_engine = SimpleNamespace(model_executor=worker)

        def generate(self, prompts: list[dict[str, Any]], sampling_params: dict[str, Any], use_tqdm: bool) -> Any:
            sampled.prompts, sampled.sampling = prompts, sampling_params
            made = zip(prompts, sampled.answers, strict=True)
            return [_output(prompt["prompt_token_ids"], ids) for prompt, ids in made]

        def reset_prefix_cache(self) -> None:
            sampled.reset()

    _installed(patch)
    patch.setattr(vllm_generation, "LLM", Engine, raising=False)
    patch.setattr(vllm_generation, "SamplingParams", dict, raising=False)


def server(patch: pytest.MonkeyPatch, sampled: Sampled) -> None:
    """Put a stand-in in the place of the client of `trl vllm-serve`."""

    class Client:
        def __init__(self, **options: Any) -> None:
            sampled.loaded = options

        def init_communicator(self, device: torch.device) -> None: ...

        def get_server_info(self) -> dict[str, Any]:
            return {"model_config": {"logprobs_mode": "processed_logprobs"}}

        def image_features(self, images: list[Any]) -> list[dict[str, Any]]:
            return [{"image": image, "mm_placeholders": {"image": [{"offset": 0, "length": 1}]}} for image in images]

        def generate(self, prompts: list[list[int]], features: list[Any], **sampling: Any) -> dict[str, Any]:
            sampled.prompts, sampled.sampling = list(zip(prompts, features, strict=True)), sampling
            logprobs = [[[None]] * len(answer) for answer in sampled.answers]
            return {"prompt_ids": prompts, "completion_ids": sampled.answers, "logprobs": logprobs}

        def update_named_params(self, _: Any, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
            sampled.take(weights)

        def reset_prefix_cache(self) -> None:
            sampled.reset()

    _installed(patch)
    patch.setattr(vllm_generation, "VLLMClient", Client)


def _installed(patch: pytest.MonkeyPatch) -> None:
    for module in (grpo, vllm_generation, import_utils):
        patch.setattr(module, "is_vllm_available", lambda: True)


def _output(prompt: list[int], ids: list[int]) -> Any:
    # A probability that is not known: trl then corrects nothing.
    rows = [{one: SimpleNamespace(rank=1, logprob=math.nan)} for one in ids]
    return SimpleNamespace(prompt_token_ids=prompt, outputs=[SimpleNamespace(token_ids=ids, logprobs=rows)])
