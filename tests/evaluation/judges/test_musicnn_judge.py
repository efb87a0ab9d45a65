"""Windows of the bundled judge: their number, their independence, and how it hears extreme sounds."""

import shutil

import librosa
import numpy as np
import pytest
import torch
import torchaudio

from musicbench.errors import UserError
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges import musicnn as bundled
from tests.damage import edit_card, flip


@pytest.mark.parametrize(("seconds", "windows"), [(3.0, 1), (3.99, 1), (4.0, 2), (5.0, 3), (10.0, 8)])
@pytest.mark.parametrize("rate", [16000, 32000, 44100])
def test_number_of_windows(musicnn, seconds, windows, rate):
    assert musicnn._windows(torch.zeros(1, round(seconds * rate)), rate).shape == (1, windows, 3 * rate)


def test_equals_the_package_s_steps(musicnn, melody):
    """Window by window: librosa's spectrogram of the first 187 frames, then the network."""
    audio = melody(0, 4.0)
    output = musicnn(audio[None], 16000)
    assert output.embeddings_BWD.shape == (1, 2, 200) and output.logits_BWC.shape == (1, 2, 50)
    for window in range(2):
        part = audio[window * 16000 : (window + 3) * 16000].numpy()
        mel = librosa.feature.melspectrogram(y=part, sr=16000, n_fft=512, hop_length=256, n_mels=96)
        log_mel = torch.from_numpy(np.log10(10000 * mel[:, :187].T + 1))
        with torch.no_grad():
            penultimate, logits = musicnn.network(log_mel[None])
        torch.testing.assert_close(output.embeddings_BWD[0, window], penultimate[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(output.logits_BWC[0, window], logits[0], rtol=0, atol=1e-4)


def test_windows_do_not_hear_their_surroundings(musicnn, melody):
    """A crop of a long clip gets the rows of the long clip, whatever surrounds it or shares its batch."""
    rate = 32000
    whole = melody(3, 8.0, rate)
    crop = whole[2 * rate : 7 * rate]
    loud = torch.ones_like(crop)
    alone = musicnn(crop[None], rate)
    within = musicnn(whole[None], rate)
    batched = musicnn(torch.stack([loud, crop]), rate)
    assert torch.equal(alone.logits_BWC[0], within.logits_BWC[0, 2:5])
    assert torch.equal(alone.embeddings_BWD[0], batched.embeddings_BWD[1])


def test_sample_rate_matters_little(musicnn, melody):
    audio = melody(4, 3.0, 32000)
    resampled = torchaudio.functional.resample(audio, 32000, 16000)
    high, low = musicnn(audio[None], 32000), musicnn(resampled[None], 16000)
    torch.testing.assert_close(high.logits_BWC, low.logits_BWC, rtol=0, atol=1e-4)
    wrong = musicnn(audio[None, : 3 * 16000], 16000)  # the same samples, said to be slower
    assert (high.logits_BWC - wrong.logits_BWC).abs().max() > 0.1


def test_silence_and_loud_music_stay_finite(musicnn, melody):
    loud = melody(5, 3.0) * 1e4  # far beyond full scale; fp16 would overflow from power 6.5e4 on
    assert musicnn.log_mel(loud[None]).max() > np.log10(10000 * 65504)
    for audio in (torch.zeros(48000), loud, torch.ones(48000)):
        output = musicnn(audio[None], 16000)
        assert torch.isfinite(output.embeddings_BWD).all() and torch.isfinite(output.logits_BWC).all()


def test_training_precision_does_not_reach_the_judge(musicnn, melody):
    expected = musicnn(melody(6, 3.0)[None], 16000)
    seen, cudnn = [], torch.backends.cudnn
    before = cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32
    hook = musicnn.network.register_forward_pre_hook(
        lambda *_: seen.append((torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.enabled))
    )
    chosen = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        output = musicnn(melody(6, 3.0)[None], 16000)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(chosen)
        hook.remove()
    assert seen == [("highest", False, True)]  # cuDNN goes on computing convolutions where there is a GPU
    assert (cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32) == before
    torch.testing.assert_close(output.logits_BWC, expected.logits_BWC, rtol=0, atol=0)


def test_hears_the_same_music_as_the_same(musicnn, melody):
    """Two parts of one melody are nearer to each other than to other melodies, on average."""
    embeddings = torch.stack([musicnn(melody(s, 6.0)[None], 16000).embeddings_BWD[0, [0, 3]] for s in range(6)])
    distance = torch.cdist(embeddings[:, 0], embeddings[:, 1])
    others = distance[~torch.eye(6, dtype=torch.bool)]
    assert distance.diagonal().mean() < 0.7 * others.mean()


def test_labels_and_gradients(musicnn):
    assert len(set(musicnn.labels)) == 50 and {"piano", "strings", "techno"} <= set(musicnn.labels)
    assert not any(parameter.requires_grad for parameter in musicnn.network.parameters())


def test_says_what_is_wrong(musicnn, tmp_path):
    with pytest.raises(UserError, match="at least 3 s"):
        musicnn(torch.zeros(1, 47999), 16000)
    with pytest.raises(UserError, match="NaN"):
        musicnn(torch.full((1, 48000), torch.nan), 16000)
    with pytest.raises(UserError, match="incomplete"):
        MusiCNN(tmp_path / "absent")
    shutil.copytree(bundled.BUNDLED, tmp_path / "judge")
    card = tmp_path / "judge" / "card.json"
    edit_card(card, lambda content: content.update(sha256="0"))
    with pytest.raises(UserError, match="sha256"):
        MusiCNN(tmp_path / "judge")
    flip(card, 8 * (card.read_bytes().index(b"guitar") + 3))
    with pytest.raises(
        UserError, match=r"card\.json is damaged \(its content does not match its checksum\); reinstall"
    ):
        MusiCNN(tmp_path / "judge")
