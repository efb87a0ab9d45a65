"""What clips are conditioned on: named states.

Shape suffixes: B batch, E width of states, L states of a clip, S sequences.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TEXT, MELODY = "text", "melody"


class States(NamedTuple):
    """One condition of all clips of a batch.

    Attributes:
        states_BLE: states of a frozen encoder, or features of a recording, padded.
        mask_BL: bool, True at real states; a clip without any lacks the condition.
    """

    states_BLE: Tensor
    mask_BL: Tensor


@dataclass(frozen=True)
class Conditions:
    """All conditions of a batch of clips by name; every model has the text.

    How a condition enters the network, by cross-attention or as a prefix of the sequence, is the model's: see
    ``conditioning``. A model refuses conditions that it does not know, so that none is silently dropped; a condition
    that it knows and is not given is absent in all clips.
    """

    named: Mapping[str, States]

    @classmethod
    def of_text(cls, states_BLE: Tensor, mask_BL: Tensor) -> "Conditions":
        """Captions alone."""
        return cls({TEXT: States(states_BLE, mask_BL)})

    @property
    def text(self) -> States:
        """The states of the captions."""
        return self.named[TEXT]

    def __len__(self) -> int:
        return len(self.text.mask_BL)

    @property
    def device(self) -> torch.device:
        """Where the states lie."""
        return self.text.mask_BL.device

    def each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        """The same conditions with every tensor changed, for example sent to a device."""
        return Conditions({name: States(*map(change, states)) for name, states in self.named.items()})

    def __getitem__(self, clips: slice | Sequence[int]) -> "Conditions":
        """The conditions of some clips."""
        return self.each(lambda tensor: tensor[clips])

    def clips(self) -> Iterator["Conditions"]:
        """The conditions of each clip, one after the other."""
        return (self[i : i + 1] for i in range(len(self)))

    def without(self, dropped_B: Tensor, names: Collection[str] | None = None) -> "Conditions":
        """The same conditions, which some clips lack.

        Args:
            dropped_B: bool, clips that lack them.
            names: of the conditions that are dropped; None: all.
        """

        def changed(name: str, states: States) -> States:
            if names is not None and name not in names:
                return states
            return states._replace(mask_BL=states.mask_BL & ~dropped_B[:, None])

        return Conditions({name: changed(name, states) for name, states in self.named.items()})

    def require(self, known: Collection[str]) -> None:
        """Refuse conditions that a model does not use.

        Raises:
            ValueError: one is given that is not known.
        """
        for name in self.named:
            if name not in known:
                raise ValueError(f"the model was trained without {name}, which it would ignore; do not give it")


def copies(conditions: Conditions, drops: Sequence[Collection[str]]) -> Conditions:
    """The clips several times, one copy behind the other, as guidance needs them.

    Args:
        drops: of each copy, the names of the conditions that it lacks.
    """
    if len(drops) == 1:
        return conditions
    repeated = conditions.each(lambda tensor: tensor.repeat(len(drops), *[1] * (tensor.ndim - 1)))
    copy_S = torch.arange(len(drops), device=conditions.device).repeat_interleave(len(conditions))
    for number, names in enumerate(drops):
        repeated = repeated.without(copy_S == number, names)
    return repeated
