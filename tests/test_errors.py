"""What the named errors share."""

import openmm
import pytest

from openmm_unisim.errors import ConfigError, check_choice, tells_of_nan


def test_a_choice_is_returned_and_another_word_is_told_the_choices() -> None:
    assert check_choice("Policy", "stop", ("reject", "stop")) == "stop"
    with pytest.raises(ConfigError, match="Policy 'ignore' is unknown; choose one of reject, stop"):
        check_choice("Policy", "ignore", ("reject", "stop"))


def test_openmm_names_nan_in_its_messages() -> None:
    """Another failure of OpenMM's isn't taken for it."""
    system = openmm.System()
    force = openmm.NonbondedForce()
    for _ in range(2):
        system.addParticle(1.0)
        force.addParticle(0.0, 0.3, 1.0)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, {"Threads": "1"})
    context.setPositions([openmm.Vec3(float("nan"), 0, 0), openmm.Vec3(1, 0, 0)])
    with pytest.raises(openmm.OpenMMException) as found:
        context.getState(energy=True)
    assert tells_of_nan(found.value)
    with pytest.raises(openmm.OpenMMException) as found:
        context.setParameter("absent", 1.0)
    assert not tells_of_nan(found.value)
