"""One table of all keys: none is missing, none is left over, and ids follow from it."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from musicbench.named_code import shipped_folder
from musicbench.plain_files import read_yaml
from musicbench.runs.compose import shipped
from musicbench.runs.identity import recorded_config, run_id, training_id
from musicbench.runs.keys import KEYS, key_of

HYBRID = ("family=hybrid", "decode=hybrid_10s")


def names(tree: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all values, lists as one."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from names(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix


def declared_in_conf() -> set[str]:
    """Keys of all shipped configurations and of every option of their groups."""
    found = set(names(shipped("train", *HYBRID)))  # joins two ways of decoding
    for path in shipped_folder("conf").rglob("*.yaml"):
        content = read_yaml(path)
        content.pop("defaults", None)
        group = path.parent.name if path.parent != shipped_folder("conf") else ""
        found |= set(names(content, "" if group == "experiment" else group)) if content else set()
    return {name for name in found if not name.endswith("_convert_")}


def rows_for(name: str) -> list[str]:
    parts = name.split(".")
    return [row for length in range(1, len(parts) + 1) if (row := ".".join(parts[:length])) in KEYS]


def test_every_key_has_one_row_and_every_row_a_key():
    keys = declared_in_conf()
    assert {name: rows_for(name) for name in keys if len(rows_for(name)) != 1} == {}
    assert set(KEYS) - {row for name in keys for row in rows_for(name)} == set()


def test_control_a_key_nobody_declared_is_seen():
    assert rows_for("training.new_knob") == []
    assert rows_for("new_knob") == []


@pytest.mark.parametrize("choices", [(), HYBRID, ("pattern=stack_stride",)], ids=str)
def test_ids_and_records_follow_from_the_table(choices):
    usual = shipped("train", *choices)
    for name in names(usual):
        changed = deepcopy(usual)
        *groups, last = name.split(".")
        node = changed
        for group in groups:
            node = node[group]
        node[last] = "another"
        changes = key_of(name).changes
        assert (run_id(changed, {}) == run_id(usual, {})) == (changes in ("record", "nothing")), name
        assert (training_id(changed, {}) != training_id(usual, {})) == (changes in ("everything", "weights")), name
        assert (recorded_config(changed) == recorded_config(usual)) == (changes == "nothing"), name


def test_a_key_of_ones_own_changes_numbers():
    usual = shipped("train")
    for group, retrained in (("family", True), ("pattern", True), ("decode", False), ("evaluation", False)):
        changed = {**usual, group: {**usual[group], "of_ones_own": 3}}
        assert run_id(changed, {}) != run_id(usual, {})
        assert (training_id(changed, {}) != training_id(usual, {})) == retrained
