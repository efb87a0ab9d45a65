"""The rows of a table as systems to be timed: networks of the records' configurations, with fresh weights.

A time does not depend on weights: the number of calls, of positions and of drawn tokens follows from the configuration.
So a table can be timed on a machine that has its records and no run folder.

"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from musicbench.assessment.adapters import CaptionedModel, sampling
from musicbench.assessment.timing import timed_system
from musicbench.bench.decode_floors import DecodeFloors
from musicbench.conditions.caption_table import caption_table
from musicbench.data.crops import evaluation_crops
from musicbench.errors import UserError
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Shape
from musicbench.models.token_lm import TokenLM
from musicbench.runs.compose import checked, plain
from musicbench.runs.contents import Contents
from musicbench.runs.device import device, set_up
from musicbench.runs.parts import Parts
from musicbench.runs.recorded import configuration_of
from musicbench.runs.run import Run
from musicbench.speed.timed import Timed
from musicbench.study.run_record import RunRecord
from musicbench.study.table import Table
from musicbench.study.timings import timed_configuration


@dataclass(frozen=True)
class Subject:
    """A row to be timed.

    Attributes:
        row: its name. record: id of the record whose configuration it has; configuration: hash of that.
        captions, frames: what it is asked for; frames of a clip.
        floor: measures the seconds of its matrix products now, for a batch; None where calls bound small ones.
        own_bytes: of its weights.
    """

    row: str
    record: str
    configuration: str
    timed: Timed
    captions: Sequence[str]
    frames: int
    floor: Callable[[int], float | None]
    own_bytes: int

    @property
    def clip_seconds(self) -> float:
        """Length of a clip."""
        return self.frames / self.timed.codec.frame_rate


def trained_records(table: Table) -> list[RunRecord]:
    """The record of the lowest seed of every trained row.

    Raises:
        UserError: there is no such row.
    """
    found = [min(row.records, key=lambda record: record["seed"]) for row in table.rows if row.kind == "trained"]
    if not found:
        raise UserError("the table has no record of a trained row; nothing can be timed")
    return found


class Subjects:
    """Makes the subjects of one process; they share codec, encoder and floors where their configurations agree.

    Args:
        most: the largest batch that will be asked for.
        store: folder of the token store, or ``embedded``; a record does not say where it lies.
        threads: of this process; None: as many as torch takes.

    Attributes:
        failures: rows that cannot be timed, with the reasons.
    """

    def __init__(self, most: int, store: str, threads: int | None) -> None:
        self.most, self.store, self.threads = most, store, threads
        self.failures: list[str] = []
        self._parts: dict[str, Parts] = {}
        self._floors: dict[Shape, DecodeFloors] = {}

    def of(self, records: Sequence[RunRecord]) -> list[Subject]:
        """The subjects of records; a row that cannot be made is left out, with a reason.

        Raises:
            UserError: there is no such token store, the clips of a record are of another one, or a setting is wrong.
        """
        found: list[Subject] = []
        for record in records:
            print(f"making {record['row']}", file=sys.stderr)
            try:
                recorded = configuration_of(record["config"], _name(record))
            except UserError as error:
                self.failures.append(f"{record['row']} is not timed: {error}")
                continue
            config = self._here(recorded)
            if config.decode.get("masked", config.decode).get("rescore", 1) < 1:
                self.failures.append(f"{record['row']} is rescored by a run that its record does not hold: not timed")
                continue
            if not found:
                set_up(config)
            run = Run(config)
            _require_tokens(record, run)
            try:
                found.append(self._subject(record, run))
            except UserError as error:
                self.failures.append(f"{record['row']} is not timed: {error}")
        return found

    def _here(self, recorded: DictConfig) -> DictConfig:
        """A record's configuration with the settings of this machine."""
        content = plain(recorded)
        content["data"]["store"] = self.store
        if self.threads is not None:
            content["trainer"]["threads"] = self.threads
        return checked(content, "--store")

    def _subject(self, record: RunRecord, run: Run) -> Subject:
        parts = run.parts = self._shared(run)
        settings = run.config.evaluation
        crops = evaluation_crops(parts.store, settings.split, settings.seconds, settings.per_piece)
        captions = [crop.caption for crop in crops[: self.most]]
        table = caption_table(captions, parts.encoder, parts.cache / "text")

        def told(captions: Sequence[str], melodies: Any = None) -> Conditions:
            return Conditions.of_text(*table.batch(list(captions)))

        system = CaptionedModel(run.model(), told, sampling(run))
        frames = crops[0].frames

        def floor(batch: int) -> float | None:
            if not isinstance(system.module.lm, TokenLM):
                return None
            floors = self._floors.setdefault(
                system.module.lm.shape, DecodeFloors(system.module.lm.shape, torch.float32, device())
            )
            tokens = told([captions[n % len(captions)] for n in range(batch)]).text.mask_BL.shape[1]
            return floors.of_module(system.module, system.sampling, frames, batch, tokens)

        return Subject(
            record["row"],
            record["id"],
            timed_configuration(record),
            timed_system(system, parts),
            captions,
            frames,
            floor,
            sum(part.nbytes for part in (*system.module.parameters(), *system.module.buffers())),
        )

    def _shared(self, run: Run) -> Parts:
        """Parts of a run, with the codec and the encoder of an earlier one that has the same."""
        key = Contents.key(run.config)
        parts = Parts(run.config, run.contents, self._parts.get(key))
        self._parts.setdefault(key, parts)
        return parts


def _require_tokens(record: RunRecord, run: Run) -> None:
    wanted, here = record["protocol"]["tokens_sha256"], run.contents.store.card["codes_sha256"]
    if wanted != here:
        raise UserError(
            f"{_name(record)}: its clips come from another token store ({str(wanted)[:8]}) than this one "
            f"({here[:8]}); name it with --store"
        )


def _name(record: RunRecord) -> str:
    return f"record of {record['row']} seed {record['seed']}"
