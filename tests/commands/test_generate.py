"""Clips of any caption from a trained run, and what stops them."""

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
