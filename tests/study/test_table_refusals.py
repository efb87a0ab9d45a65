"""Records and specifications that do not make one table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musicbench.errors import UserError
from musicbench.study.run_record import RunRecord
from musicbench.study.sentence import trust_sentence
from musicbench.study.table import build_table, load_table

Make = Callable[..., RunRecord]
Change = Callable[[Any, str, Any], None]


@pytest.mark.parametrize(
    "path, value",
    [
        ("protocol.judges.fad.sha256", "other"),
        ("protocol.codec.id", "other"),
        ("protocol.reference.windows", 1),
        ("protocol.clip_seconds", 10.0),
        ("protocol.split", "validation"),
        ("protocol.tokens_sha256", "other"),
        ("protocol.sampling.top_k", 50),
        ("numerics", 2),
    ],
)
def test_other_protocols_are_refused(spec: Any, make_record: Make, change: Change, path: str, value: Any) -> None:
    other = make_record("flat")
    change(other, path, value)
    with pytest.raises(UserError, match=path.replace(".", r"\.")) as caught:
        build_table(spec, [make_record("delay"), make_record("codec", kind="reference"), other])
    assert "flat seed 0" in str(caught.value) and "delay seed 0" in str(caught.value)
    assert str(value) in str(caught.value) and "\n" not in str(caught.value)


def test_sampling_settings_that_a_table_is_about_may_differ(spec: Any, make_record: Make, change: Change) -> None:
    one, other = make_record("delay"), make_record("flat")
    change(other, "protocol.sampling.top_k", 50)
    spec["varied"] = ["top_k"]
    build_table(spec, [one, other])
    assert trust_sentence([one, other], ["top_k"])
    change(other, "protocol.sampling.cfg", 1.0)
    with pytest.raises(UserError, match=r"protocol\.sampling\.cfg \(3\.0 against 1\.0\)"):
        build_table(spec, [one, other])
    # Another family samples in a way of its own.
    change(other, "protocol.sampling.kind", "MaskedSampling")
    build_table(spec, [one, other])


def test_other_clips_are_refused(spec: Any, make_record: Make) -> None:
    other = make_record("flat")
    other["clips"].reverse()
    with pytest.raises(UserError, match="the clips or their order"):
        build_table(spec, [make_record("delay"), other])


def test_seeds_of_one_row_differ_in_the_seed_only(spec: Any, make_record: Make, change: Change) -> None:
    first, second = make_record("delay"), make_record("delay", seed=1)
    build_table(spec, [first, second])
    change(second, "config.width", 512)
    with pytest.raises(UserError, match=r"config\.width \(256 against 512\)"):
        build_table(spec, [first, second])
    change(second, "config.width", 256)
    change(second, "seed", 0)
    with pytest.raises(UserError, match="one row and one seed"):
        build_table(spec, [first, second])


@pytest.mark.parametrize(
    "change_spec, message",
    [
        (lambda spec: spec.pop("title"), "title is missing"),
        (lambda spec: spec.update(colour="red"), "colour is not known"),
        (lambda spec: spec.update(reference_row="dealy"), "reference_row names dealy"),
        (lambda spec: spec["rows"].append(dict(spec["rows"][0])), "row original is named twice"),
        (lambda spec: spec["figure"]["y"].append("metrics.clap"), "figure names metrics.clap"),
        (lambda spec: spec["published"]["rows"].update(stack={"FAD": 1.0}), "published.rows names stack"),
        (lambda spec: spec["published"]["rows"]["flat"].update(OVL=80.0), "names OVL"),
        (lambda spec: spec["columns"]["Cost"][0].update(better="faster"), "better is 'faster'"),
    ],
)
def test_broken_specifications_are_refused(
    tmp_path: Path,
    spec: Any,
    write_table: Callable[..., Path],
    change_spec: Callable[[Any], None],
    message: str,
) -> None:
    change_spec(spec)
    with pytest.raises(UserError, match=message) as caught:
        load_table(write_table(tmp_path, [], spec))
    assert "table.yaml" in str(caught.value)


def test_a_file_that_is_not_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text("title: [unclosed\nrows: }")
    with pytest.raises(UserError, match="is not YAML") as caught:
        load_table(tmp_path)
    assert "\n" not in str(caught.value)
