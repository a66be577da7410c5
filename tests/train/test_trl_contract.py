"""What `shotcrop_train` needs of trl beyond its public interface.

The range of trl in pyproject.toml names releases that this file was run with. When a test fails after an update, adapt
the named class of `shotcrop_train`, or keep the old range.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
import trl
from packaging.specifiers import SpecifierSet
from transformers import Trainer
from trl import GRPOTrainer, SFTTrainer
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling
from trl.trainer.utils import FusedCausalLMOutput

from shotcrop_train.checkpoint_folders import WholeCheckpoints
from shotcrop_train.grpo import GroupTrainer
from shotcrop_train.weighted_trainer import WeightedTrainer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
OVERRIDDEN: dict[type, dict[str, tuple[str, ...]]] = {
    GroupTrainer: {
        "_generate_and_score_completions": ("inputs",),
    },
    WeightedTrainer: {
        "compute_loss": ("model", "inputs", "return_outputs", "num_items_in_batch"),
        "log": ("logs",),
    },
    WholeCheckpoints: {
        "_get_output_dir": ("trial",),
        "_save_checkpoint": ("model", "trial"),
    },
}
"""The methods of trl's and transformers' trainers that ours override, with the parameters that the overrides name."""
OWN = {"__init__"}
"""Methods of our trainers that override nothing of trl's."""


def broken_overrides(trainer: type, base: type, methods: dict[str, tuple[str, ...]]) -> list[str]:
    """Return what a base class no longer has of what a trainer overrides, in words."""
    where = f"trl {trl.__version__}: {base.__name__}"
    broken = []
    for name, named in methods.items():
        method = getattr(base, name, None)
        if method is None:
            broken.append(f"{where} has no {name}, which {trainer.__name__} overrides")
            continue
        parameters = list(inspect.signature(method).parameters)[1:]
        missing = [parameter for parameter in named if parameter not in parameters]
        if missing:
            broken.append(f"{where}.{name} has no {', '.join(missing)}, which {trainer.__name__} needs")
    return broken


@pytest.mark.parametrize("trainer", OVERRIDDEN, ids=lambda trainer: trainer.__name__)
def test_trl_still_has_the_methods_that_we_override(trainer: type) -> None:
    base = next(one for one in trainer.__mro__ if not one.__module__.startswith("shotcrop_train"))
    assert broken_overrides(trainer, base, OVERRIDDEN[trainer]) == []


@pytest.mark.parametrize("trainer", OVERRIDDEN, ids=lambda trainer: trainer.__name__)
def test_every_override_is_in_the_contract(trainer: type) -> None:
    methods = {name for name, value in vars(trainer).items() if inspect.isfunction(value)}
    assert methods - OWN == set(OVERRIDDEN[trainer])


def test_a_method_that_disappears_is_named() -> None:
    class Renamed:
        def log(self, rows: object) -> None: ...

    lost, changed = broken_overrides(WeightedTrainer, Renamed, OVERRIDDEN[WeightedTrainer])
    assert lost.endswith("Renamed has no compute_loss, which WeightedTrainer overrides")
    assert changed.endswith("Renamed.log has no logs, which WeightedTrainer needs")


def test_grpo_still_calls_what_we_override() -> None:
    source = inspect.getsource(GRPOTrainer)
    for name in OVERRIDDEN[GroupTrainer]:
        assert f"self.{name}(" in source, f"trl {trl.__version__}: GRPOTrainer no longer calls {name}"


def test_transformers_still_asks_where_a_checkpoint_goes() -> None:
    source = inspect.getsource(Trainer._save_checkpoint)
    assert "self._get_output_dir(trial=trial)" in source, "Trainer._save_checkpoint no longer calls _get_output_dir"


def test_grpo_still_loads_its_reference_with_the_function_that_we_replace() -> None:
    source = inspect.getsource(GRPOTrainer.__init__)
    assert "self.ref_model = create_model_from_path(" in source, f"trl {trl.__version__} makes its reference elsewhere"


def test_grpo_still_has_the_attributes_that_we_read() -> None:
    source = inspect.getsource(GRPOTrainer)
    for name in ("_metrics", "num_generations"):
        assert re.search(rf"self\.{name} = ", source), f"trl {trl.__version__}: GRPOTrainer no longer sets {name}"
    rollout = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for key in ("advantages", "completion_mask", "num_items_in_batch"):
        assert f'"{key}"' in rollout, f"trl {trl.__version__}: _generate_and_score_completions returns no {key}"


def test_sft_still_has_the_fused_head_that_the_weighted_loss_reads() -> None:
    fields = FusedCausalLMOutput.__dataclass_fields__
    for name in ("log_probs", "is_top1", "label_mask"):
        assert name in fields, f"trl {trl.__version__}: the fused head returns no {name}, which WeightedTrainer reads"
    assert '"is_top1"' in inspect.getsource(SFTTrainer.__init__), "SFTTrainer no longer asks its head for is_top1"


def test_trl_still_collates_as_the_text_collator_expects() -> None:
    collator = list(inspect.signature(DataCollatorForVisionLanguageModeling).parameters)
    assert collator[:2] == ["processor", "max_length"]
    assert "completion_only_loss" in collator
    assert list(inspect.signature(apply_chat_template).parameters)[:2] == ["example", "processing_class"]
    assert "images" in inspect.signature(prepare_multimodal_messages).parameters


def test_the_tested_release_of_trl_is_in_the_range_of_the_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (requirement,) = [line for line in extras["train"] if line.startswith("trl")]
    supported = SpecifierSet(requirement.removeprefix("trl"))
    tested = re.search(r"^trl==([\d.]+)", (ROOT / "tests" / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert tested is not None and tested[1] in supported
    assert trl.__version__ in supported
    next_minor = f"{trl.__version__.split('.')[0]}.{int(trl.__version__.split('.')[1]) + 1}"
    assert next_minor not in supported, "the range holds releases of trl that were not tested"
