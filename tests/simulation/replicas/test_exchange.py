"""OpenMM's replica exchange with exact jumps: each state keeps its own distribution."""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_unisim import UniSimIntegrator, UniSimReplicaExchangeSampler
from openmm_unisim.errors import ConfigError, ModelDomainError
from tests.plugin.conftest import toys  # noqa: F401  (a fixture)
from tests.plugin.systems import BOLTZMANN, add_wells, free_atoms, simulate

KT = BOLTZMANN * 300.0
WIDTH = 0.028  # nm; of the toy's own law
STIFFNESS = KT / WIDTH**2
ATOMS = 2


def set_up(model, local=None, groups=None, seed=5, mode=UniSimIntegrator.MetropolisHastings):
    """Hydrogens of 2 Da in wells of stiffness k, a Context parameter."""
    topology, system = free_atoms(ATOMS)
    add_wells(system, STIFFNESS)
    if groups is not None:
        more = openmm.CustomExternalForce("0.5*1.5*k*(x^2+y^2+z^2)")
        more.addGlobalParameter("k", STIFFNESS)
        for particle in range(ATOMS):
            more.addParticle(particle, [])
        more.setForceGroup(groups)
        system.addForce(more)
    integrator = jumper = UniSimIntegrator(
        model, topology, 300 * unit.kelvin, 2, acceptanceMode=mode, randomNumberSeed=seed
    )
    if local is not None:
        integrator = openmm.CompoundIntegrator()
        integrator.addIntegrator(local)
        integrator.addIntegrator(jumper)
    return simulate(integrator, topology, system, np.zeros((ATOMS, 3)))


def langevin(seed=3):
    integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 20 / unit.picosecond, 0.004)
    integrator.setRandomNumberSeed(seed)
    return integrator


def squares(sampler, iterations, discard=20):
    """Mean square coordinate in each state, (iterations, n_states), nm^2."""
    rows = []

    def report(sampler):
        row = np.zeros(len(sampler.states))
        for state, conformation in zip(sampler.replicaStateIndex, sampler.replicaConformation):
            row[state] = (conformation.getPositions(asNumpy=True)._value ** 2).mean()
        rows.append(row)

    sampler.reporters.append(report)
    sampler.simulate(discard + iterations)
    return np.array(rows[discard:])


def assert_means(values, expected):
    """Within five standard errors, from blocks of 20 iterations."""
    blocks = values.reshape(-1, 20, values.shape[1]).mean(axis=1) / expected
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    assert (np.abs(blocks.mean(axis=0) - 1) < 5 * error).all() and (error < 0.1).all()


def test_a_ladder_of_potentials_with_jumps_alone(toys):  # noqa: F811
    ladder = STIFFNESS * np.array([1.0, 1.6, 2.5])
    sampler = UniSimReplicaExchangeSampler([{"k": k} for k in ladder], set_up(toys["ou"]), 3)
    assert_means(squares(sampler, 600), KT / ladder)
    assert 0 < sampler.exchangesAccepted[0, 1] < sampler.exchangeAttempts[0, 1]
    np.testing.assert_array_equal(sampler.exchangesAccepted, sampler.exchangesAccepted.T)
    assert (sampler.jumpsProposed == 3 * 620).all()
    assert (0 < sampler.jumpsAccepted).all() and (sampler.jumpsAccepted < 3 * 620).all()


def test_a_ladder_of_temperatures_with_langevin_and_jumps(toys):  # noqa: F811
    """Jumps where the model was made for it (250 to 350 K), local MD everywhere."""
    kelvin = np.array([300.0, 420.0, 600.0])
    states = [{"temperature": t * unit.kelvin} for t in kelvin]
    sampler = UniSimReplicaExchangeSampler(states, set_up(toys["ou"], langevin()), 25, 2)
    values = squares(sampler, 600)
    assert_means(values, BOLTZMANN * kelvin / STIFFNESS)
    assert sampler.jumpsProposed[0] == 2 * 620 and not sampler.jumpsProposed[1:].any()
    assert sampler.jumpsAccepted[0] > 0 and sampler.exchangesAccepted[0, 1] > 0


def test_sets_of_force_groups_count_in_dynamics_and_exchange(toys):  # noqa: F811
    simulation = set_up(toys["ou"], langevin(), groups=4)
    sampler = UniSimReplicaExchangeSampler([{"groups": {0}}, {"groups": {0, 4}}], simulation, 20, 2)
    assert_means(squares(sampler, 600), np.array([KT / STIFFNESS, KT / (2.5 * STIFFNESS)]))


def test_replicas_have_noise_of_their_own(toys):  # noqa: F811
    """With OpenMM's own class all replicas draw the same; two equal states show it."""
    states = [{"k": STIFFNESS}] * 2
    theirs = app.ReplicaExchangeSampler(states, set_up(toys["ou"]), 3)
    ours = UniSimReplicaExchangeSampler(states, set_up(toys["ou"]), 3)
    ends = []
    for sampler in (theirs, ours):
        for replica in range(2):
            sampler.simulateReplica(replica)
        ends.append([state.getPositions(asNumpy=True)._value for state in sampler.replicaConformation])
    np.testing.assert_array_equal(ends[0][0], ends[0][1])
    assert np.abs(ends[1][0] - ends[1][1]).min() > 0
    before = ours.replicaConformation[0].getPositions(asNumpy=True)._value
    ours.simulateReplica(0)  # again within the iteration: other noise than the first time
    assert np.abs(ours.replicaConformation[0].getPositions(asNumpy=True)._value - before).max() > 0
    indices = {(key, made) for key, made in ours._made.items()}
    assert indices == {((0, 0), 6), ((0, 1), 3)}


def test_same_seed_same_exchanges_and_openmms_reporter_resumes(toys, tmp_path):  # noqa: F811
    states = [{"k": STIFFNESS}, {"k": 2 * STIFFNESS}]

    def sampler():
        return UniSimReplicaExchangeSampler(states, set_up(toys["ou"]), 2)

    def positions(one):
        return np.array([state.getPositions(asNumpy=True)._value for state in one.replicaConformation])

    whole = sampler()
    whole.simulate(12)
    first = sampler()
    first.reporters.append(app.ReplicaExchangeReporter(str(tmp_path / "run"), 1, first, checkpoints=True))
    first.simulate(5)
    rest = sampler()
    app.ReplicaExchangeReporter(str(tmp_path / "run"), 1, rest, checkpoints=True, resume=True)
    rest.replicaStateIndex = list(first.replicaStateIndex)  # the log is written before the exchange
    rest.simulate(7)
    np.testing.assert_allclose(positions(rest), positions(whole), atol=1e-12)
    assert rest.replicaStateIndex == whole.replicaStateIndex


def test_what_is_not_exact_or_cannot_be_is_refused_by_name(toys):  # noqa: F811
    states = [{"k": STIFFNESS}, {"k": 2 * STIFFNESS}]
    with pytest.raises(ConfigError, match="accepts all of its"):
        UniSimReplicaExchangeSampler(states, set_up(toys["ou"], mode=UniSimIntegrator.AcceptAll), 1)
    topology, system = free_atoms(ATOMS)
    plain = simulate(langevin(), topology, system, np.zeros((ATOMS, 3)))
    with pytest.raises(ConfigError, match="one UniSimIntegrator and at most one local"):
        UniSimReplicaExchangeSampler(states, plain, 1)
    with pytest.raises(ConfigError, match="are weighted"):
        UniSimReplicaExchangeSampler([{"groups": {0: 0.5}}], set_up(toys["ou"]), 1)
    hot = [{"temperature": 300.0}, {"temperature": 500.0}]
    with pytest.raises(ModelDomainError, match="nothing else would move the replicas"):
        UniSimReplicaExchangeSampler(hot, set_up(toys["ou"]), 1)
    with pytest.raises(ConfigError, match="of a VerletIntegrator can't be set"):
        UniSimReplicaExchangeSampler(hot, set_up(toys["ou"], openmm.VerletIntegrator(0.001)), 1)


@pytest.mark.parametrize("seed", [0, -5])
def test_any_seed_exchanges(toys, seed):  # noqa: F811
    states = [{"k": STIFFNESS}, {"k": 1.1 * STIFFNESS}]
    for _ in range(4):  # 0 is drawn anew
        sampler = UniSimReplicaExchangeSampler(states, set_up(toys["ou"], seed=seed), 1)
        sampler.simulate(1)
        assert sampler.exchangeAttempts.sum() > 0


def test_states_of_one_temperature_take_any_local_integrator(toys):  # noqa: F811
    states = [{"k": STIFFNESS}, {"k": 1.1 * STIFFNESS}]
    sampler = UniSimReplicaExchangeSampler(states, set_up(toys["ou"], openmm.VerletIntegrator(0.001)), 1)
    sampler.simulate(1)


def test_a_custom_integrators_kT_is_set(toys):  # noqa: F811
    custom = openmm.CustomIntegrator(0.004)
    custom.addGlobalVariable("kT", KT)
    custom.addComputePerDof("x", "x + gaussian*0.001*sqrt(kT)")
    hot = [{"temperature": 300.0}, {"temperature": 500.0}]
    sampler = UniSimReplicaExchangeSampler(hot, set_up(toys["ou"], custom), 1)
    sampler.simulateReplica(1)
    assert custom.getGlobalVariableByName("kT") == pytest.approx(BOLTZMANN * 500.0)
