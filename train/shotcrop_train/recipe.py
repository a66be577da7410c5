"""Recipes: all settings of a training run, read from TOML."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from shotcrop_cli.errors import ShotcropError
from shotcrop_train.data.augmentation import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).with_name("recipes")

T = TypeVar("T")


@dataclass(frozen=True)
class ModelRecipe:
    """How a base is loaded and trained.

    Args:
        lora_rank: Rank of the low-rank updates; related work uses 32 to 64. 0 trains the weights themselves.
        lora_alpha: Strength of the updates, divided by the rank; 0 for twice the rank.
        lora_dropout: Dropout before the updates.
        lora_targets: Names of the linear layers that get updates.
        freeze_vision: Do not train the vision tower, in LoRA and in full training.
        dtype: `float32`, `bfloat16`, or `auto`: bfloat16 on a GPU, except for weights that are trained themselves. With
            `float32` a GPU also computes in it.
        quantise: `nf4` for QLoRA: the base's linear layers have 4 bits. It needs a GPU and the extra `qlora`.
        attention: `flash_attention_2`, `sdpa` or `eager`; empty for what transformers chooses.
        gradient_checkpointing: Compute activations twice instead of keeping them in memory.
        micro_batch: Photos of a batch in memory at once; 0 for all. Their gradients are added up.
        max_pixels: Photos are shrunk to this many pixels; related work uses 1 to 2 million. 0 keeps the processor's own
            limit.
        min_pixels: Photos are enlarged to this many pixels. 0 keeps the processor's own limit.
        coord_space: How boxes are written: `permille`, `absolute`, or `auto` for the form that the base's family knows.
        think: Write the reasoning before the shots.
        location_tokens: Write boxes as location tokens. These join the vocabulary and are trained.
        keep_adapter: With LoRA, leave the trained adapter as it is. Otherwise the run also merges it into its base.
        chat_template: `chatml` for the built-in template, the path of a Jinja file, or empty for the base's own.
    """

    lora_rank: int = 0
    lora_alpha: int = 0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    freeze_vision: bool = True
    dtype: str = "auto"
    quantise: str = ""
    attention: str = ""
    gradient_checkpointing: bool = False
    micro_batch: int = 0
    max_pixels: int = 1_048_576
    min_pixels: int = 0
    coord_space: str = "auto"
    think: bool = True
    location_tokens: bool = False
    keep_adapter: bool = False
    chat_template: str = ""

    def __post_init__(self) -> None:
        for name, choices in (
            ("dtype", ("auto", "float32", "bfloat16")),
            ("coord_space", ("auto", "permille", "absolute")),
            ("quantise", ("", "nf4")),
            ("attention", ("", "flash_attention_2", "sdpa", "eager")),
        ):
            if getattr(self, name) not in choices:
                named = ", ".join(choice or "empty" for choice in choices)
                raise ValueError(f"'{name}' must be one of {named}, not '{getattr(self, name)}'")
        if self.quantise and not self.lora_rank:
            raise ValueError("weights of 4 bits cannot be trained themselves: set 'lora_rank' or leave out 'quantise'")


@dataclass(frozen=True)
class DataRecipe:
    """Which datasets below the data folder are used, and how often each group of samples is drawn.

    Args:
        experts: Datasets with expert triples. A tenth of them is held back for validation.
        proposals: Datasets of which only detections and captions of the whole photo are used.
        empty: Datasets of photos without people. A tenth of them is held back for validation too.
        shares: Probability of drawing an expert, proposal or empty sample.
        shot_weight: Weight of a proposed box in the loss; an expert's box has 1.
        streaming: Read rows while training, for datasets that are too large to be downloaded or unpacked.
        buffer: With `streaming`, how many rows are in memory and shuffled together; 0 for 256.
    """

    experts: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    shot_weight: float = 0.5
    streaming: bool = False
    buffer: int = 0

    def __post_init__(self) -> None:
        if self.buffer < 0:
            raise ValueError(f"buffer must be 0 or more rows, not {self.buffer}")


@dataclass(frozen=True)
class Optimisation:
    """How the weights are updated.

    Args:
        steps: Optimiser steps of the whole run.
        batch_size: Photos per step and device.
        learning_rate: Peak of the cosine schedule.
        warmup_steps: Steps until the peak.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Gradients longer than this are scaled down to it.
        seed: Random seed of initialisation, mixture and augmentation.
    """

    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 7e-4
    warmup_steps: int = 100
    weight_decay: float = 0.02
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """How often a run logs, evaluates and saves, in optimiser steps."""

    log_every: int = 20
    evaluate_every: int = 200
    save_every: int = 100


@dataclass(frozen=True)
class Tracking:
    """Which experiment trackers a run reports to. A run may continue with others.

    Args:
        to: Names that transformers knows, such as `wandb`, `mlflow` or `trackio`.
        name: Name of the run; empty for that of its folder.
        project: Project or experiment of the run; empty for what the tracker chooses.
    """

    to: tuple[str, ...] = ()
    name: str = ""
    project: str = ""


@dataclass(frozen=True)
class SftRecipe:
    """A supervised run of a large model."""

    data: DataRecipe = field(default_factory=DataRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    optimisation: Optimisation = field(default_factory=Optimisation)
    augmentation: Augmentation = field(default_factory=Augmentation)
    schedule: Schedule = field(default_factory=Schedule)
    tracking: Tracking = field(default_factory=Tracking)


def load_recipe(name: str, kind: type[T], changes: Sequence[str] = ()) -> T:
    """Read a recipe by the name of a shipped one or by path.

    Args:
        name: Name without ending, or a path that ends in `.toml`.
        kind: The dataclass of its stage.
        changes: Values that replace the recipe's; see `changed`.

    Raises:
        ShotcropError: There is no such recipe, it is not TOML, or it holds an unknown key or a wrong value.
    """
    return build(kind, changed(read_toml(name, RECIPES), kind, changes), name)


def changed(content: Mapping[str, Any], kind: type, changes: Sequence[str]) -> dict[str, Any]:
    """Return the content of a recipe with some values replaced.

    Args:
        content: The recipe's tables.
        kind: The dataclass that it will fill.
        changes: Each is `TABLE.KEY=VALUE`. The value is TOML; text needs no quotes.

    Raises:
        ShotcropError: A change is not of this form, or the recipe has no such key.
    """
    merged = dict(content)
    for change in changes:
        _merge(merged, _parse_change(change, kind))
    return merged


def recipe_keys(kind: type, prefix: str = "") -> Iterator[str]:
    """Yield all keys of a recipe as `TABLE.KEY`; a table of free keys ends with a dot."""
    for name, expected in get_type_hints(kind).items():
        if is_dataclass(expected):
            yield from recipe_keys(expected, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{name}" + ("." if get_origin(expected) is MappingType else "")


def _parse_change(change: str, kind: type) -> dict[str, Any]:
    name, equals, text = change.partition("=")
    name = name.strip()
    known = list(recipe_keys(kind))
    if not equals:
        raise ShotcropError(f"--set {change}: there is no value", hint="write --set TABLE.KEY=VALUE")
    free = any(key.endswith(".") and f"{name}.".startswith(key) for key in known)
    if name not in known and not free:
        leaves = [key for key in known if key.rpartition(".")[2] == name.rpartition(".")[2]]
        close = leaves[:1] or get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(known))}"
        raise ShotcropError(f"--set {change}: the recipe has no key '{name}'", hint=hint)
    try:
        table: dict[str, Any] = tomllib.loads(f"{name} = {text}")
    except tomllib.TOMLDecodeError:
        table = tomllib.loads(f"{name} = {json.dumps(text.strip())}")
    return table


def _merge(content: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        old = content.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            table = dict(old)
            _merge(table, value)
            content[key] = table
        else:
            content[key] = value


def read_toml(name: str, shipped: Path) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        name: Name of one in `shipped`, without ending, or a path that ends in `.toml`.
        shipped: Folder of the files that come with the package.

    Raises:
        ShotcropError: There is no such file, or it is not TOML.
    """
    path = Path(name) if name.endswith(".toml") else shipped / f"{name}.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(sorted(one.stem for one in shipped.glob("*.toml")))
        raise ShotcropError(f"there is no recipe '{name}'", hint=f"give a .toml file or one of: {names}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ShotcropError(f"recipe {path} cannot be read: {error}", hint="fix the file") from None
    return content


def build(kind: type[T], content: Mapping[str, Any], where: str) -> T:
    """Fill a recipe dataclass from a TOML table.

    Args:
        kind: A dataclass of numbers, texts, booleans, mappings, tuples and further dataclasses.
        content: The table.
        where: Its name in messages.

    Raises:
        ShotcropError: A key is unknown or missing, or a value has the wrong type or is refused by the dataclass.
    """
    types = get_type_hints(kind)
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(known))}"
            raise ShotcropError(f"{where}: unknown key '{key}'", hint=hint)
        values[key] = _value(types[key], value, key, where)
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ShotcropError(f"{where}: {error}", hint="fix the recipe") from None


def _value(expected: Any, value: Any, key: str, where: str) -> Any:
    """Convert a TOML value to the type of a field, or explain what it should be."""
    if is_dataclass(expected):
        if not isinstance(value, dict):
            raise ShotcropError(f"{where}: '{key}' must be a table", hint=f"write [{key}]")
        return build(expected, value, f"{where} [{key}]")  # type: ignore[arg-type]
    if get_origin(expected) is tuple and isinstance(value, list):
        item = get_args(expected)[0]
        return tuple(_value(item, one, f"{key}[{number}]", where) for number, one in enumerate(value))
    for kinds, right, word in _PLAIN:
        if expected in kinds and not right(value):
            raise ShotcropError(f"{where}: '{key}' must be {word}, not {value!r}", hint="fix the recipe")
    return float(value) if expected is float else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_PLAIN: tuple[tuple[tuple[Any, ...], Callable[[Any], bool], str], ...] = (
    ((float,), _is_number, "a number"),
    ((int,), lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    ((bool,), lambda value: isinstance(value, bool), "true or false"),
    ((str,), lambda value: isinstance(value, str), "text in quotes"),
)
"""The check of each plain type, and its name in messages."""
