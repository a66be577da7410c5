from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from shotcrop_cli.model.nano.manifest import FaultCosts

DOCS = Path(__file__).parents[4] / "docs"
_spec = importlib.util.spec_from_file_location("refinement_page", DOCS / "refinement.py")
assert _spec is not None and _spec.loader is not None
page = importlib.util.module_from_spec(_spec)
sys.modules["refinement_page"] = page
_spec.loader.exec_module(page)

BETTER = {
    "A bystander's head is cut": lambda share: share < 0.04 or share > 0.96,
    "The main person's head is cut": lambda share: share > 0.99,
    "A body is left without its head": lambda share: share < 0.015,
    "An animal is cut": lambda share: share < 0.08 or share > 0.93,
    "A held object is cut": lambda share: share < 0.08 or share > 0.93,
    "A hand is cut": lambda share: share < 0.05 or share > 0.95,
    "The lower edge is at the knees": lambda heads: heads > 0.29,
    "The feet are cut": lambda heads: heads > 0,
    "Too little headroom": lambda room: room > 0.03,
    "Too much headroom": lambda room: room < 0.2,
    "No room in front of a turned head": lambda room: room > 0.45,
    "Medium shot and close-up are alike": lambda iou: iou < 0.8,
    "The crop is a narrow strip": lambda ratio: ratio > 0.6,
}
"""For each drawn example, whether a measure is without the fault."""


@pytest.mark.parametrize("example", page.EXAMPLES, ids=lambda one: one.title)
def test_the_drawn_fault_is_there_before_and_gone_after(example: page.Example) -> None:
    before, after = example.measured()
    assert not BETTER[example.title](before)
    assert BETTER[example.title](after)


def test_the_picture_shows_what_the_code_does_now() -> None:
    """Draw it again with `PYTHONPATH=src:tests python docs/refinement.py`."""
    assert page.PICTURE.read_text("utf-8") == page.draw()


def test_the_page_names_every_cost() -> None:
    named = set(re.findall(r"\| `(\w+)` \|", (DOCS / "refinement.md").read_text("utf-8")))
    no_faults = {"move", "room_low", "room_high", "least_height"}
    assert named == {one.name for one in fields(FaultCosts)} - no_faults


def test_faults_that_are_said_to_move_nothing_move_nothing() -> None:
    """The page says so of the default costs; the panels with a star raise them."""
    raised = [one for one in page.EXAMPLES if one.costs]
    assert {name for one in raised for name in one.costs} == {"headroom", "look_room", "distinct", "aspect"}
    for one in raised:
        plain = page.replace(one, costs={})
        before, after = plain.measured()
        assert not BETTER[one.title](after), f"{one.title}: {before} to {after}"
