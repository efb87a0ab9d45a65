"""Footnotes on a table's times: what their brackets mean, when and where they were taken, what is missing."""

from collections.abc import Sequence

from musicbench.study.cells import Row
from musicbench.study.comparability import machine_phrase
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.times import AGREE, apart, is_time
from musicbench.study.timings import Document, began, timed_configuration


def time_notes(rows: Sequence[Row], columns: Sequence[ColumnSpec], documents: Sequence[Document]) -> list[str]:
    """The footnotes; none for a table without a column of times, or without times."""
    times = [n for n, column in enumerate(columns) if is_time(column["key"])]
    if not times:
        return []
    if not documents:
        bracketed = any(row.cells[n].low is not None for row in rows for n in times)
        said = "Brackets of times: the smallest and the largest round, at the end of each run's own evaluation."
        return [said] * bracketed
    labels = {row.spec["row"]: row.spec["label"] for row in rows}
    return [
        _taken(documents),
        *_commits(documents),
        *_stale(rows, documents),
        *_restless(labels, documents),
        *[f"Timing of {began(one):%Y-%m-%d %H:%M} UTC: {failure}." for one in documents for failure in one["failures"]],
        *_stopped(documents),
    ]


def _taken(documents: Sequence[Document]) -> str:
    count = len(documents)
    first, last = f"{began(documents[0]):%Y-%m-%d %H:%M}", f"{began(documents[-1]):%Y-%m-%d %H:%M}"
    rounds = sorted({document["rounds"] for document in documents})
    loads = [document["load"]["before"][0] for document in documents if document["load"]["before"]]
    load = f", load average before them at most {max(loads):.1f}" if loads else ""
    of_several = f"medians of {count} sessions, each the median of its {' or '.join(map(str, rounds))} rounds"
    brackets = "the smallest and the largest session" if count > 1 else "the smallest and the largest round"
    return (
        f"Times: {of_several if count > 1 else f'medians of {rounds[0]} rounds of one session'}; brackets are "
        f"{brackets}. All rows took turns in one process a session, with fresh weights, on "
        f"{machine_phrase(documents[0]['machine'])}, {first}{f' to {last}' if count > 1 else ''} UTC{load}. "
        "floor_ratio is the time over that of the same matrix products alone, by the fastest way there."
    )


def _commits(documents: Sequence[Document]) -> list[str]:
    commits = sorted({(document["git"]["commit"] or "unknown")[:12] for document in documents})
    notes = [f"The sessions are of {len(commits)} commits ({', '.join(commits)})."] if len(commits) > 1 else []
    dirty = any(document["git"]["dirty"] for document in documents)
    return notes + ["Uncommitted changes were present in a session of times."] * dirty


def _stale(rows: Sequence[Row], documents: Sequence[Document]) -> list[str]:
    """Rows whose records have another configuration than was timed."""
    found = [
        row.spec["label"]
        for row in rows
        if row.records
        and any(
            document["rows"][row.spec["row"]]["configuration"] != timed_configuration(row.records[0])
            for document in documents
            if row.spec["row"] in document["rows"]
        )
    ]
    return [f"Timed with another configuration than their records have, and left out: {', '.join(found)}."] * bool(
        found
    )


def _restless(labels: dict[str, str], documents: Sequence[Document]) -> list[str]:
    """Rows and batches whose rounds still differed after they were timed again."""
    found: dict[str, float] = {}
    for document in documents:
        for name, row in document["rows"].items():
            for batch, cell in row["batches"].items():
                share = apart([part["generate_seconds"] for part in cell["speed"]["repeats"]])
                if name in labels and share > AGREE:
                    where = f"{labels[name]}, batch {batch}"
                    found[where] = max(found.get(where, 0.0), share)
    if not found:
        return []
    listed = "; ".join(f"{where} ({share:.0%})" for where, share in found.items())
    return [f"Rounds of one session differ by more than {AGREE:.0%} of their median: {listed}."]


def _stopped(documents: Sequence[Document]) -> list[str]:
    count = sum(document["load"]["after"] is None for document in documents)
    if not count:
        return []
    one = (
        "1 session was stopped before its end, and holds" if count == 1 else f"{count} sessions were stopped, and hold"
    )
    return [f"{one} what was timed until then."]
