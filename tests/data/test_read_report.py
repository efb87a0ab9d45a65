"""What a report of a pass over a folder says."""

import json
from collections import Counter

from musicbench.data.read_report import EXAMPLES, ReadReport


def test_facts_and_lines():
    report = ReadReport(read=3, mixed_down=2, cut=1, ignored=Counter({".txt": 2}))
    for number in range(8):
        report.skip(f"s{number}", f"too short: {number} s")
    report.skip("gone.wav (3)", "no audio file")
    report.warn("silent", "x")
    facts = report.facts()
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["files"], facts["read"], facts["cut"], facts["ignored"]) == (11, 3, 1, 2)
    assert facts["skipped"] == {"no audio file": 1, "too short": 8} and facts["warnings"] == {"silent": 1}
    assert facts["examples"]["too short"] == [f"s{number} ({number} s)" for number in range(EXAMPLES)]
    assert report.lines() == [
        "11 audio files, 3 read, 8 skipped, 2 mixed down to mono, 1 cut to length",
        "skipped, no audio file (1): gone.wav (3)",
        "skipped, too short (8): s0 (0 s), s1 (1 s), s2 (2 s), s3 (3 s), s4 (4 s), ...",
        "warning, silent (1): x",
        "other files (2): 2 .txt",
    ]
