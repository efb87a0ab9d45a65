"""Released checkpoints there and back."""


def open(source):  # type: ignore
    raise NotImplementedError
