"""How much is trained."""

from musicbench.training.fit import WallClock


class Counter:
    """Counts the batches that training sees from now on."""

    def __init__(self, monkeypatch) -> None:
        self.batches = 0
        original = WallClock.on_train_batch_end

        def count(*arguments):
            self.batches += 1
            original(*arguments)

        monkeypatch.setattr(WallClock, "on_train_batch_end", count)
