"""Options that take one of a few texts."""

from typing import Literal

import pytest

from musicbench.choices import require_choice


def test_a_text_that_is_no_choice_is_refused():
    require_choice("size", "small", Literal["small", "large"])
    require_choice("size", None, Literal["small", "large"])
    with pytest.raises(ValueError, match=r"^size must be small or large, or null; got 'huge'$"):
        require_choice("size", "huge", Literal["small", "large"])
