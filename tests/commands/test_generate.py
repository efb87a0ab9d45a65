"""Clips of any caption from a trained run, and what stops them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench import torch_files
from musicbench.commands import generate
from musicbench.conditions.none import NoText
from musicbench.errors import UserError
from musicbench.runs.folder import BEST
from musicbench.runs.parts import Parts
from musicbench.runs.run import Run
from tests.helpers.tiny_run import StubEncoder


def begin(path: Path) -> str:
    """Caption and seed of a generated file's name."""
    found = re.match(r"(.*-\d+)-delay-[0-9a-f]{8}-[0-9a-f]{8}\.", path.name)
    assert found is not None, path.name
    return found[1]


class TestGenerate:
    def generate(self, trained_run: Path, output: Path, *arguments: str) -> dict[str, np.ndarray]:
        assert generate.main(["--run", str(trained_run), "--output", str(output), *arguments]) == 0
        return {begin(path): soundfile.read(path)[0] for path in sorted(output.glob("*.flac"))}

    def test_clips_of_any_caption(self, trained_run, tmp_path):
        captions = ['a "slow" waltz, key=F (minor)', "größe: 3/4 = ünïcödé", "🎵", "x/../../y"]
        output = tmp_path / "out" / "deep"
        clips = self.generate(trained_run, output, *captions, "--seconds", "2.5")
        assert len(clips) == 4
        assert all(len(audio) == 2500 for audio in clips.values())
        texts = {path.read_text(encoding="utf-8").strip() for path in output.glob("*.txt")}
        assert texts == set(captions)
        assert len(list(output.iterdir())) == 8
        assert not list(tmp_path.glob("out/*.flac"))

    def test_a_clip_follows_its_seed(self, trained_run, tmp_path):
        both = self.generate(trained_run, tmp_path / "a", "one", "two", "--seconds", "2", "--seed", "4")
        assert sorted(both) == ["one-4", "two-5"]
        alone = self.generate(trained_run, tmp_path / "b", "two", "--seconds", "2", "--seed", "5")
        np.testing.assert_array_equal(alone["two-5"], both["two-5"])
        other = self.generate(trained_run, tmp_path / "c", "two", "--seconds", "2", "--seed", "6")
        assert not np.array_equal(other["two-6"], both["two-5"])

    @pytest.mark.parametrize("caption", ["a\x1b[31mred waltz", "bell \x07", "half of a pair \udcff"])
    def test_control_characters_are_refused_before_anything_is_loaded(self, tmp_path, caption):
        with pytest.raises(UserError, match="argument 2 has the control character") as error:
            generate.main(["--run", str(tmp_path / "none"), "a waltz", caption])
        assert str(error.value).isprintable()

    def test_a_caption_is_refused_by_a_model_without_text(self, trained_run, tmp_path, monkeypatch):
        monkeypatch.setattr(NoText, "dim", StubEncoder.dim)  # the width of the trained network
        monkeypatch.setattr(Parts, "encoder", property(lambda _: NoText()))
        with pytest.raises(UserError, match=r"trained without text \(text=none\)"):
            self.generate(trained_run, tmp_path / "a", "a waltz", "--seconds", "2")

    def test_captions_that_are_cut_are_counted(self, trained_run, tmp_path, monkeypatch, capsys):
        class Short(StubEncoder):
            id = "short"

            def cut(self, captions):
                return sum(len(caption) > 9 for caption in captions)

        monkeypatch.setattr(Parts, "encoder", property(lambda _: Short()))
        self.generate(trained_run, tmp_path / "a", "a waltz", "a very long waltz", "--seconds", "2")
        assert "warning: short reads the first tokens alone of 1 of 2 captions" in capsys.readouterr().err

    def test_overrides_after_two_dashes(self, trained_run, tmp_path):
        greedy = ("--seconds", "2", "--", "decode.temperature=0")
        one = self.generate(trained_run, tmp_path / "a", "tune", "--seed", "1", *greedy)
        other = self.generate(trained_run, tmp_path / "b", "tune", "--seed", "2", *greedy)
        np.testing.assert_array_equal(one["tune-1"], other["tune-2"])

    def test_a_stream_writes_the_same_sound(self, trained_run, tmp_path, capsys):
        clips = self.generate(trained_run, tmp_path / "a", "one", "two", "--seconds", "3")
        self.generate(trained_run, tmp_path / "b", "one", "two", "--seconds", "3", "--stream")
        for name, audio in clips.items():
            (path,) = (tmp_path / "b").glob(f"{name}-*.wav")
            streamed, rate = soundfile.read(path)
            np.testing.assert_allclose(streamed, audio, atol=1 / 32768)  # the codec is asked piece by piece
            assert rate == 1000
        # half a second is 5 frames, of which the codec's look-ahead holds back 2
        assert re.search(r"first 0\.[3-9]\d s of sound after", capsys.readouterr().out)

    def test_a_longer_clip_goes_on_in_windows(self, trained_run, tmp_path, capsys):
        one = self.generate(trained_run, tmp_path / "a", "tune", "--seconds", "2")["tune-0"]
        many = self.generate(trained_run, tmp_path / "b", "tune", "--seconds", "5.5")["tune-0"]
        assert len(many) == 5500
        np.testing.assert_array_equal(many[:2000], one)
        assert "warning" not in capsys.readouterr().err
        whole = self.generate(trained_run, tmp_path / "c", "tune", "--seconds", "5.5", "--window", "6")["tune-0"]
        assert not np.array_equal(many[2000:], whole[2000:])
        err = capsys.readouterr().err
        assert err.count("warning: a window of 5.5 s goes beyond the 2 s (data.seconds) of a training clip") == 1
        assert "rotary position codes of later frames are untrained" in err
        near = self.generate(trained_run, tmp_path / "d", "tune", "--seconds", "5.5", "--overlap", "0.5")["tune-0"]
        assert not np.array_equal(many[2000:], near[2000:])

    def test_windows_stream(self, trained_run, tmp_path):
        arguments = ("one", "two", "--seconds", "6", "--window", "1.5", "--overlap", "1")
        clips = self.generate(trained_run, tmp_path / "a", *arguments)
        self.generate(trained_run, tmp_path / "b", *arguments, "--stream")
        for name, audio in clips.items():
            (path,) = (tmp_path / "b").glob(f"{name}-*.wav")
            np.testing.assert_allclose(soundfile.read(path)[0], audio, atol=1 / 32768)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--overlap", "2"), "leave one of a window of 2 s to be drawn"),
            (("--overlap", "0"), "--overlap must be a number of seconds above 0"),
            (("--window", "0"), "--window must be a number of seconds above 0"),
            (("--window", "inf"), "--window must be a number of seconds above 0"),
            (("--window", "0.1"), "is shorter than two frames"),
            (("--captions", "none.txt"), "no captions at none.txt"),
        ],
    )
    def test_windows_and_files_that_cannot_be(self, trained_run, arguments, message, monkeypatch):
        monkeypatch.setattr("musicbench.generation.generate.load_trained", lambda *_: pytest.fail("it was loaded"))
        with pytest.raises(UserError, match=message):
            generate.main(["tune", "--run", str(trained_run), *arguments])

    def test_a_schedule_that_cannot_go_on(self, trained_run, monkeypatch):
        monkeypatch.setattr("musicbench.generation.generate.load_trained", lambda *_: pytest.fail("it was loaded"))
        with pytest.raises(UserError, match=r"this run cannot go on from the first 1\.3 s of a window of 2 s"):
            generate.main(["tune", "--run", str(trained_run), "--", "schedule.schedule=stride_4"])

    def test_clips_of_a_file(self, trained_run, tmp_path):
        """They are those of single calls, however they are batched."""
        prompt = tmp_path / "begin.wav"
        soundfile.write(prompt, np.random.default_rng(0).uniform(-0.5, 0.5, 1250), 1000)
        lines = [
            {"text": "long", "seconds": 5},
            {"text": "größe 琴 🎵", "seed": 17},
            {"text": "begun", "prompt": "begin.wav"},
            {"text": ""},
            {"text": "long too", "seconds": 5, "prompt": "begin.wav"},
        ]
        file = tmp_path / "captions.jsonl"
        file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        clips = self.generate(trained_run, tmp_path / "a", "typed", "--captions", str(file), "--seconds", "2")
        begun = ("--prompt", str(prompt))
        singly = [
            ("typed", "--seconds", "2"),
            ("long", "--seconds", "5", "--seed", "1"),
            ("größe 琴 🎵", "--seconds", "2", "--seed", "17"),
            ("begun", "--seconds", "2", "--seed", "3", *begun),
            ("--seconds", "2", "--seed", "4"),
            ("long too", "--seconds", "5", "--seed", "5", *begun),
        ]
        for arguments in singly:
            alone = self.generate(trained_run, tmp_path / "b", *arguments)
        assert {path.name for path in (tmp_path / "a").iterdir()} == {p.name for p in (tmp_path / "b").iterdir()}
        assert len(clips) == 6
        for name, audio in alone.items():
            np.testing.assert_array_equal(clips[name], audio)

    def test_the_same_clip_twice(self, trained_run, tmp_path):
        file = tmp_path / "captions.jsonl"
        file.write_text('{"text": "tune", "seed": 3}\n' * 2, encoding="utf-8")
        with pytest.raises(UserError, match=r"the clip tune-3-\S+ is asked for twice; give each its own seed"):
            generate.main(["--captions", str(file), "--run", str(trained_run), "--output", str(tmp_path)])

    def test_every_clip_begins_with_the_prompt(self, trained_run, tmp_path):
        prompt = tmp_path / "prompt.wav"
        soundfile.write(prompt, np.random.default_rng(0).uniform(-0.5, 0.5, 1250), 1000)
        clips = self.generate(trained_run, tmp_path / "a", "one", "two", "--seconds", "3", "--prompt", str(prompt))
        for audio in clips.values():  # the stub hears only zeros, and plays them as silence
            assert len(audio) == 3000 and not audio[:1200].any() and audio[1200:].any()

    def test_prompts_that_cannot_be_continued(self, trained_run, tmp_path):
        prompt = tmp_path / "prompt.wav"
        soundfile.write(prompt, np.zeros(2000), 1000)
        arguments = ["tune", "--run", str(trained_run), "--seconds", "1.5", "--prompt", str(prompt)]
        with pytest.raises(UserError, match=r"lasts 1\.9 s; it must be"):
            generate.main(arguments)
        with pytest.raises(UserError, match="cannot use the audio file"):
            generate.main(["tune", "--run", str(trained_run), "--prompt", str(tmp_path / "none.wav")])

    @pytest.mark.parametrize("override", ["decode.cfg=abc", "decode.cgf=1", "decode.cfg", "nothing=1"])
    def test_mistaken_overrides(self, trained_run, tmp_path, override):
        with pytest.raises(UserError):
            generate.main(["tune", "--run", str(trained_run), "--output", str(tmp_path / "a"), "--", override])

    @pytest.mark.parametrize(
        ("name", "message"), [(BEST, r"no [^\n]*best\.ckpt; train first"), ("config.yaml", "is no run folder")]
    )
    def test_missing_parts_of_a_run(self, trained_run, name, message):
        (trained_run / name).unlink()
        with pytest.raises(UserError, match=message):
            generate.main(["tune", "--run", str(trained_run)])

    @pytest.mark.parametrize(("name", "message"), [(BEST, "is damaged"), ("config.yaml", "is damaged or was edited")])
    def test_damaged_parts_of_a_run(self, trained_run, name, message):
        path = trained_run / name
        path.write_bytes(b"a: [\n" + path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises(UserError, match=message):
            generate.main(["tune", "--run", str(trained_run)])

    def test_overrides_of_what_was_trained(self, trained_run):
        for override in ("model.dim=32", "seed=1", "pattern.pattern=flat"):
            with pytest.raises(UserError, match=r"best\.ckpt is of another training .*; take back what was overridden"):
                generate.main(["tune", "--run", str(trained_run), "--", override])

    def test_a_checkpoint_of_another_model(self, trained_run):
        content = torch.load(trained_run / BEST, weights_only=True)
        del content["state_dict"]["lm.heads_KVD"]
        torch_files.save(content, trained_run / BEST)
        with pytest.raises(UserError, match="belongs to another model"):
            generate.main(["tune", "--run", str(trained_run)])

    @pytest.mark.parametrize("weights", [3, {}, {"a": 3}, {"a": torch.zeros(1).expand(10**6)}])
    def test_weights_that_are_too_small_for_the_configured_model(self, trained_run, monkeypatch, weights):
        """Else a configuration of a few bytes could fill the memory."""
        monkeypatch.setattr(Run, "model", lambda _: pytest.fail("it was made"))
        content = torch.load(trained_run / BEST, weights_only=True)
        torch_files.save({**content, "state_dict": weights}, trained_run / BEST)
        with pytest.raises(UserError, match="belongs to another model"):
            generate.main(["tune", "--run", str(trained_run)])
