"""Files of captions: what lines may say, and all mistakes at once."""

import json
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.generation.clip_specs import ClipSpec, clip_specs, read_caption_file

DEFAULT = ClipSpec("", 5, 10.0, Path("all.wav"), ((1.0, 2.0),))
STRANGE = ["größe: 3/4 = “ünïcödé”", "琴の音 🎵", "a\u2028b", "\u202eright to left", "e\u0301", "\ufeffmark"]


def write(path: Path, lines: list[str], ends: str = "\n") -> Path:
    path.write_bytes(ends.join(lines).encode())
    return path


def test_captions_of_both_are_numbered_on(tmp_path):
    (tmp_path / "begin.wav").touch()
    lines = [
        {"text": "plain"},
        {"text": "own seed", "seed": 3},
        {"text": "own length", "seconds": 2},
        {"text": "own prompt", "prompt": "begin.wav"},
        {"text": ""},
    ]
    file = write(tmp_path / "captions.jsonl", ["", *(json.dumps(line) for line in lines), "  "])
    redraw = DEFAULT.redraw
    assert clip_specs(["typed"], file, DEFAULT) == [
        ClipSpec("typed", 5, 10.0, Path("all.wav"), redraw),
        ClipSpec("plain", 6, 10.0, Path("all.wav"), redraw),
        ClipSpec("own seed", 3, 10.0, Path("all.wav"), redraw),
        ClipSpec("own length", 8, 2, Path("all.wav"), redraw),
        ClipSpec("own prompt", 9, 10.0, tmp_path / "begin.wav", ()),
        ClipSpec("", 10, 10.0, Path("all.wav"), redraw),
    ]


def test_nothing_is_one_clip_without_a_caption():
    assert clip_specs([], None, DEFAULT) == [DEFAULT]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_caption_a_line_of_any_language(tmp_path, ends):
    file = write(tmp_path / "captions.txt", ["\ufeff" + STRANGE[0], "", *STRANGE[1:], " \u3000", '{"text": 3}'], ends)
    assert [entry["text"] for entry in read_caption_file(file)] == [*STRANGE, '{"text": 3}']


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_of_any_language(tmp_path, ascii_only):
    lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) for text in STRANGE]
    assert [entry["text"] for entry in read_caption_file(write(tmp_path / "a.jsonl", lines))] == STRANGE


MISTAKES = [
    ('{"text": "a"', "is not valid JSON"),
    ('["a"]', "is no object such as"),
    ("3", "is no object such as"),
    ("{}", 'there is no "text"'),
    ('{"text": " "}', 'there is no "text"'),
    ('{"text": null}', 'there is no "text"'),
    ('{"text": 3}', 'there is no "text"'),
    (r'{"text": "\ud800"}', "characters that cannot be written"),
    (r'{"text": "a\u0000"}', "characters that cannot be written"),
    ('{"text": "a", "text": "b"}', "there twice"),
    ('{"text": "a", "sed": 1}', "'sed' is none of text, seed, seconds, prompt"),
    *((f'{{"text": "a", "seed": {seed}}}', '"seed" must be') for seed in ("-1", "1.0", '"1"', "true", "null", 2**62)),
    *((f'{{"text": "a", "seconds": {length}}}', '"seconds" must be') for length in ("0", "601", '"1"', "true", "null")),
    ('{"text": "a", "seconds": NaN}', "is not valid JSON"),
    ('{"text": "a", "prompt": 3}', '"prompt" must be the path of a sound'),
    ('{"text": "a", "prompt": null}', '"prompt" must be the path of a sound'),
    ('{"text": "a", "prompt": "none.wav"}', "none.wav cannot be read (no such file)"),
    ('{"text": "a", "prompt": ""}', "cannot be read (a folder, not a file)"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES)
def test_a_mistaken_line(tmp_path, line, message):
    with pytest.raises(UserError) as error:
        read_caption_file(write(tmp_path / "a.jsonl", ['{"text": "good"}', "", line]))
    assert f"{tmp_path / 'a.jsonl'}: line 3: " in str(error.value)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_all_mistakes_at_once(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a", "seed": -1, "seconds": 0}\n{"text": "b"}\n\xff\xfe\n{}\n')
    with pytest.raises(UserError) as error:
        read_caption_file(tmp_path / "a.jsonl")
    said = str(error.value)
    assert 'line 1: "seed" must be' in said and '"seconds" must be' in said
    assert "line 3: it is not UTF-8" in said and 'line 4: there is no "text"' in said and "line 2" not in said
    with pytest.raises(UserError, match=r"line 20: .*; and 5 lines more; correct them"):
        read_caption_file(write(tmp_path / "many.jsonl", ["{}"] * 25))
    for wrong in ("a\0b", "a\x1b[31mb", "a\u0085b"):
        with pytest.raises(UserError, match="line 2 has the control character"):
            read_caption_file(write(tmp_path / "a.txt", ["good", wrong]))
        with pytest.raises(UserError, match="line 1"):
            read_caption_file(write(tmp_path / "a.jsonl", [json.dumps({"text": wrong})]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("captions.csv", r"neither \.txt .* nor \.jsonl"),
        ("captions", r"neither \.txt .* nor \.jsonl"),
        ("none.txt", r"no captions at .*none\.txt \(no such file\)"),
        ("folder.jsonl", "a folder, not a file"),
        ("empty.txt", "holds no caption"),
        ("blank.jsonl", "holds no caption"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, message):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "empty.txt").touch()
    write(tmp_path / "blank.jsonl", ["", " "])
    write(tmp_path / "captions.csv", ["text", "a"])
    with pytest.raises(UserError, match=message):
        read_caption_file(tmp_path / name)
