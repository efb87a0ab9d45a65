"""The listening page: what is fetched, what the page holds, and what it says where audio is missing."""

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from musicbench.commands.table import main
from musicbench.data.audio import write_flac
from musicbench.data.audio_tags import audio_tags
from musicbench.errors import UserError
from musicbench.study.listening import PROMPTS, fetch_samples
from musicbench.study.records import read_records, write_record
from musicbench.study.samples import read_caption
from tests.damage import flip

POISON = "<script>window.poisoned = 1</script> & \"quotes\" 'single' größe 🎵 موسيقى Gro\u0308ße </section>"
WITH_AUDIO = ("codec", "flat", "delay", "parallel")


class Page(HTMLParser):
    """Elements of a page with their attributes and text; complains of tags that do not nest."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open, [element[0] for element in self.open]

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        element = (tag, {name: value or "" for name, value in attributes}, [])
        self.elements.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element[2].append(data)

    def all(self, tag: str, name: str = "") -> list[tuple[dict[str, str], str]]:
        """Attributes and text of all elements with this tag and class."""
        found = [element for element in self.elements if element[0] == tag]
        found = [element for element in found if not name or name in element[1].get("class", "").split()]
        return [(attributes, re.sub(r"\s+", " ", "".join(text)).strip()) for _, attributes, text in found]


@pytest.fixture
def captions(records: Any) -> dict[str, str]:
    """Kept clips and their captions: two crops of the first piece, and one of each of three others."""
    captions = {"a/b #1%41?@3": POISON, "clip1": "the same piece", "clip2": "two", "clip4": "three", "clip6": "four"}
    for record in records:
        record["clips"][0]["id"] = "a/b #1%41?@3"
    return captions


@pytest.fixture
def runs(tmp_path: Path, records: Any, captions: dict[str, str], write_table: Callable[..., Path], spec: Any) -> Path:
    """Run folders of a table (in ``table``) whose rows but the original have audio; magnet has no run."""
    del spec["figure"]  # it takes longer to draw than all else
    write_table(tmp_path / "table", records, spec)
    for record in records:
        folder = tmp_path / "runs" / f"{record['row']}-{record['id'][:8]}"
        write_record(folder / "record.json", record)
        if record["row"] in WITH_AUDIO:
            keep(folder, captions)
    return tmp_path / "runs"


def keep(folder: Path, captions: dict[str, str], seconds: float = 0.5) -> None:
    (folder / "samples").mkdir()
    for clip, caption in captions.items():
        stem = folder / "samples" / clip.replace("/", "_")
        noise = np.random.default_rng(0).normal(0, 0.1, int(8000 * seconds))
        soundfile.write(f"{stem}.flac", noise, 8000)
        Path(f"{stem}.txt").write_text(caption + "\n", encoding="utf-8")


@pytest.fixture
def table(tmp_path: Path, runs: Path, capsys: Any) -> Path:
    """The table's folder with its page."""
    assert main([str(tmp_path / "table"), "--runs", str(runs)]) == 0
    assert str(tmp_path / "table" / "listen.html") in capsys.readouterr().out
    return tmp_path / "table"


def test_one_crop_of_each_of_the_first_pieces_is_fetched(table: Path) -> None:
    assert PROMPTS == 3
    kept = ["a_b #1%41?@3", "clip2", "clip4"]
    for row in WITH_AUDIO:
        names = sorted(path.name for path in (table / "samples" / f"{row}-seed0").iterdir())
        assert names == sorted(f"{name}.{suffix}" for name in kept for suffix in ("flac", "txt"))
    assert not (table / "samples" / "original-seed0").exists()


def test_every_system_and_prompt_has_a_player(table: Path) -> None:
    page = Page(table / "listen.html")
    cells = page.all("article", "clip")
    assert len(cells) == 3 * 6
    labels = [text for _, text in page.all("h3")]
    order = ["Original audio", "Codec reconstruction", "Flattening", "Delay", "Parallel", "MAGNeT"]
    assert labels == 3 * order
    sources = [attributes["src"] for attributes, _ in page.all("audio")]
    assert len(sources) == len(set(sources)) == 3 * len(WITH_AUDIO)
    for source in sources + [attributes["src"] for attributes, _ in page.all("img")]:
        assert (table / unquote(source)).is_file(), source
    assert [attributes["max"] for attributes, _ in page.all("input", "seek")] == ["0.5"] * len(sources)
    empty = [text for _, text in page.all("p", "empty")]
    assert empty == 3 * ["no audio of this system was kept", "not run yet"]


def test_a_table_about_sampling_settings(tmp_path: Path, make_record: Any, write_table: Any, spec: Any) -> None:
    del spec["figure"]
    records = [make_record(row) for row in ("delay", "flat")]
    records[1]["protocol"]["sampling"]["top_k"] = 50
    folder = write_table(tmp_path / "table", records, {**spec, "varied": ["top_k"]})
    keep(folder, {"clip0": "a"})
    (folder / "samples").rename(folder / "delay-seed0")
    (folder / "samples").mkdir()
    (folder / "delay-seed0").rename(folder / "samples" / "delay-seed0")
    main([str(folder)])
    assert "How far to trust this" in (folder / "listen.html").read_text(encoding="utf-8")


def test_baselines_are_heard_last(tmp_path: Path, make_record: Any, write_table: Any, spec: Any) -> None:
    del spec["figure"]
    spec["rows"].insert(0, {"row": "unigram", "label": "Unigram"})
    kinds = {"unigram": "baseline", "original": "reference", "delay": "trained"}
    records = [make_record(row, kind=kind) for row, kind in kinds.items()]
    folder = write_table(tmp_path / "table", records, spec)
    keep(folder, {"clip0": "a"})
    (folder / "samples").rename(folder / "moved")
    (folder / "samples").mkdir()
    (folder / "moved").rename(folder / "samples" / "unigram-seed0")
    main([str(folder)])
    labels = [text for _, text in Page(folder / "listen.html").all("h3")]
    assert (labels[0], labels[-1]) == ("Original audio", "Unigram")
    assert labels.index("Delay") < labels.index("Unigram")


def test_captions_are_text_and_nothing_else(table: Path) -> None:
    page = Page(table / "listen.html")
    headings = [text for _, text in page.all("h2")]
    sections = ["The table", "One column against another", "Compare blindly"]
    assert headings == [*sections, f"Prompt 1 {POISON}", "Prompt 2 two", "Prompt 3 three"]
    assert [text for _, text in page.all("bdi")] == [POISON, "two", "three"], "captions turn no other text"
    assert len(page.all("script")) == 1 and "window.poisoned = 1</" not in page.source
    alternatives = [attributes["alt"] for attributes, _ in page.all("img")]
    assert f"Spectrogram: Delay, {POISON}" in alternatives
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def test_nothing_comes_from_elsewhere(table: Path) -> None:
    page = Page(table / "listen.html")
    assert not re.search(r"(https?:)?//\w", page.source.replace("// ", "")), "no address of a network"
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page.source)
    for _, attributes, _ in page.elements:
        for address in (attributes.get("src"), attributes.get("href")):
            assert address is None or address == "data:," or re.match(r"(samples|spectrograms)/", address)
    assert str(table) not in page.source


def test_the_page_holds_the_table_and_how_far_to_trust_it(table: Path) -> None:
    page = Page(table / "listen.html")
    assert page.all("h1")[0][1] == "Codebook patterns"
    (trust,) = [text for _, text in page.all("p", "trust")]
    assert trust.startswith("How far to trust this: 24 clips of 5 s")
    assert "24 clips of 5 s from 12 test pieces; judge musicnn" in page.source
    markdown = (table / "table.md").read_text(encoding="utf-8")
    shown = {text for _, text in page.all("td")}
    line = next(line for line in markdown.splitlines() if line.startswith("| Delay"))
    for cell in line.split("|")[2:-1]:
        assert cell.strip().replace("**", "").replace(r"\*", "*").replace(" ", "") in {
            t.replace(" ", "") for t in shown
        }
    text = page.source.partition("<script>")[0]
    assert r"\*" not in text and "**" not in text


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "no audio of this prompt was kept"),
        (lambda path: path.write_bytes(b""), "the audio file is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "the audio file is damaged"),
    ],
)
def test_lost_or_damaged_audio_leaves_a_placeholder(table: Path, damage: Any, told: str) -> None:
    damage(table / "samples" / "delay-seed0" / "clip2.flac")
    assert main([str(table)]) == 0
    page = Page(table / "listen.html")
    assert [text for _, text in page.all("p", "empty")].count(told) == 1
    assert len(page.all("audio")) == 3 * len(WITH_AUDIO) - 1


def test_damaged_audio_is_told(table: Path, capsys: Any) -> None:
    path = table / "samples" / "delay-seed0" / "clip2.flac"
    path.write_bytes(path.read_bytes()[:-100])
    assert main([str(table)]) == 0
    assert (
        capsys.readouterr().err == f"warning: {path} is damaged and is left out; fetch it from the run folder again\n"
    )


@pytest.mark.parametrize("name", ["clip.txt", "clip.flac"])
def test_a_damaged_caption_is_refused(tmp_path: Path, name: str) -> None:
    audio = tmp_path / "clip.flac"
    caption = "a slow   waltz in F"
    write_flac(audio, np.zeros((1, 800)), 8000, audio_tags(caption, {}))
    audio.with_suffix(".txt").write_text(f"{caption}\n")
    assert read_caption(audio, tmp_path) == "a slow waltz in F"
    damaged = tmp_path / name
    flip(damaged, 8 * damaged.read_bytes().index(b"waltz"))
    with pytest.raises(UserError, match=r"clip\.txt and the metadata of clip\.flac say different captions"):
        read_caption(audio, tmp_path)
    audio.with_suffix(".txt").write_text("another\n")
    soundfile.write(audio, np.zeros(800), 8000)
    assert read_caption(audio, tmp_path) == "another", "a file without metadata says nothing"


def test_a_caption_that_is_lost(table: Path) -> None:
    for path in table.glob("samples/*/clip2.txt"):
        path.unlink()
    main([str(table)])
    assert "Prompt 2 clip2" in [text for _, text in Page(table / "listen.html").all("h2")]


def test_the_first_seed_is_heard_and_only_runs_of_the_table(tmp_path: Path, make_record: Any, write_table: Any) -> None:
    records = [make_record("delay", seed=seed) for seed in (2, 1)]
    folder = write_table(tmp_path / "table", records)
    runs = []
    for record, caption in ((records[0], "second"), (records[1], "first"), (make_record("delay", seed=0), "stranger")):
        runs.append(tmp_path / "runs" / caption)
        write_record(runs[-1] / "record.json", record)
        keep(runs[-1], {"clip0": caption})
    old = folder / "samples" / "delay-seed1" / "old.flac"
    old.parent.mkdir(parents=True)
    old.touch()
    assert fetch_samples(folder, runs) == 1
    assert [path.name for path in (folder / "samples").iterdir()] == ["delay-seed1"]
    assert (old.parent / "clip0.txt").read_text(encoding="utf-8") == "first\n"
    assert not old.exists(), "audio of an earlier run does not mix with this one's"


def test_check_and_another_output_folder(table: Path, tmp_path: Path, capsys: Any) -> None:
    assert main([str(table), "--check"]) == 0
    before = sorted(path.stat().st_mtime_ns for path in table.rglob("*"))
    other = tmp_path / "deep" / "elsewhere"
    assert main([str(table), "--output", str(other)]) == 0
    assert sorted(path.stat().st_mtime_ns for path in table.rglob("*")) == before
    page = Page(other / "listen.html")
    for attributes, _ in page.all("audio") + page.all("img"):
        assert (other / unquote(attributes["src"])).is_file(), attributes["src"]
    (table / "samples" / "flat-seed0" / "clip4.flac").unlink()
    capsys.readouterr()
    assert main([str(table), "--check"]) == 1
    assert "listen.html differ" in capsys.readouterr().out


def test_runs_without_audio_and_tables_without_audio(table_folder: Path, runs: Path, capsys: Any) -> None:
    for path in runs.glob("*/samples"):
        path.rename(path.with_name("other"))
    with pytest.raises(UserError, match="no run of this table with audio"):
        main([str(table_folder), "--runs", str(runs)])
    capsys.readouterr()
    assert main([str(table_folder)]) == 0
    assert not (table_folder / "listen.html").exists()
    assert "listen" not in capsys.readouterr().out
    assert len(read_records(table_folder / "records")) == 5


def test_the_page_needs_no_torch(table: Path) -> None:
    code = (
        "import sys\n"
        "from musicbench.commands.table import main\n"
        f"sys.exit(main([{str(table)!r}, '--check']) or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
