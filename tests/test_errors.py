"""What the named errors share."""

import pytest

from openmm_unisim.errors import ConfigError, check_choice


def test_a_choice_is_returned_and_another_word_is_told_the_choices() -> None:
    assert check_choice("Policy", "stop", ("reject", "stop")) == "stop"
    with pytest.raises(ConfigError, match="Policy 'ignore' is unknown; choose one of reject, stop"):
        check_choice("Policy", "ignore", ("reject", "stop"))
