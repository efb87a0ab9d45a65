"""Judges: pretrained networks that embed audio (FAD), classify it (KLD) or compare it with captions (CLAP)."""

from musicbench.evaluation.judges.base import Judge, JudgeOutput, TextAudioJudge
from musicbench.evaluation.judges.musicnn import MusiCNN

__all__ = ["Judge", "JudgeOutput", "MusiCNN", "TextAudioJudge"]
