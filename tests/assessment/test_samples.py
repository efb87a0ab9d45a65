"""Kept clips: captions of any language are read back from the text file and from the metadata alike."""

import pytest
import soundfile
import torch

from musicbench.assessment.samples import write_sample
from musicbench.data.audio_tags import audio_tags
from musicbench.study.samples import read_caption


@pytest.mark.parametrize("caption", ["Gro\u0308ße Fuge", "موسيقى هادئة \u200f120 bpm", "静かなワルツ", "🎤\u200d🎵 x"])
def test_captions_come_back(tmp_path, caption):
    path = write_sample(tmp_path / "clip", caption, torch.zeros(1, 800), 8000, audio_tags(caption, {}))
    with soundfile.SoundFile(path) as stream:
        assert stream.title == caption, "marks are not composed"
    assert (tmp_path / "clip.txt").read_text(encoding="utf-8") == f"{caption}\n"
    shown = read_caption(path, tmp_path)
    assert shown == caption.replace("\u200f", r"\u200f"), "an invisible mark is spelt out, and nothing else"
