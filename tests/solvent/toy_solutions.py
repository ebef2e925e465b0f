"""Small solutions with known answers: a diatomic solute in a bath, and a diatomic in a tiny box of TIP3P."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from openmm_unisim.units import BOLTZMANN
from tests.toy_models import write_toy

KT = BOLTZMANN * 300.0


def bath_topology(n_bath: int) -> app.Topology:
    """Two bonded carbons (particles 0, 1) and `n_bath` atoms of sulphur in residues of their own."""
    topology = app.Topology()
    chain = topology.addChain()
    residue = topology.addResidue("SOL", chain)
    carbon, sulphur = app.Element.getBySymbol("C"), app.Element.getBySymbol("S")
    first, second = (topology.addAtom(name, carbon, residue) for name in ("C1", "C2"))
    topology.addBond(first, second)
    for _ in range(n_bath):
        topology.addAtom("S", sulphur, topology.addResidue("BAT", chain))
    return topology


def harmonic_bath(n_bath: int = 4, stiffness: float = 2000.0, pair: float = 1500.0) -> openmm.System:
    """Solute with U = pair/2 |x1 - x0|^2; bath atom i on a spring to solute atom i mod 2.

    The bath's integral is a constant, so each component of x1 - x0 is normal with variance kT/pair.
    """
    system = openmm.System()
    for _ in range(2):
        system.addParticle(12.0)
    for _ in range(n_bath):
        system.addParticle(16.0)
    bonds = openmm.HarmonicBondForce()
    bonds.addBond(0, 1, 0.0, pair)
    for i in range(n_bath):
        bonds.addBond(i % 2, 2 + i, 0.0, stiffness)
    system.addForce(bonds)
    return system


def draw_bath(
    solute: np.ndarray, n_bath: int, stiffness: float, generator: np.random.Generator
) -> np.ndarray:
    """Equilibrium positions of `harmonic_bath` given the solute's, shape (2 + n_bath, 3), nm."""
    width = np.sqrt(KT / stiffness)
    bath = [solute[i % 2] + width * generator.normal(size=3) for i in range(n_bath)]
    return np.concatenate([solute, np.array(bath).reshape(-1, 3)])


def context_of(system: openmm.System, positions: np.ndarray, step: float = 0.0005) -> openmm.Context:
    """Langevin MD at 300 K on Reference, seeded."""
    integrator = openmm.LangevinMiddleIntegrator(300.0, 20.0, step)
    integrator.setRandomNumberSeed(7)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.setVelocitiesToTemperature(300.0, 3)
    return context


def wrong_model(folder: Path, **parameters: object) -> Path:
    """A model whose jumps shrink and spread the solute by other amounts than MD: wrong on purpose."""
    values = {"a": 0.5, "s": 0.02, "sigma": 0.03, **parameters}
    return write_toy(folder / "wrong.unisim.pt", "ou", **values)


@cache
def water_box(
    edge: float = 1.3, charge: float = 0.3, water: str = "tip3p"
) -> tuple[app.Topology, openmm.System, np.ndarray]:
    """A flexible, polar diatomic in a periodic box of rigid water with PME (cutoff 0.6 nm); solute: particles 0, 1."""
    topology = bath_topology(0)
    start = np.array([[0.6, 0.65, 0.65], [0.75, 0.65, 0.65]])
    field = app.ForceField(f"amber14/{water}.xml")
    field.loadFile(_diatomic(charge))
    modeller = app.Modeller(topology, start * unit.nanometer)
    modeller.addSolvent(field, model=water, boxSize=openmm.Vec3(edge, edge, edge) * unit.nanometer)
    system = field.createSystem(
        modeller.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.6 * unit.nanometer, rigidWater=True
    )
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    return modeller.topology, system, positions


def _diatomic(charge: float):
    return io.StringIO(f"""<ForceField><AtomTypes>
<Type name="toy-a" class="toy" element="C" mass="12.0"/><Type name="toy-b" class="toy" element="C" mass="12.0"/>
</AtomTypes><Residues><Residue name="SOL"><Atom name="C1" type="toy-a"/><Atom name="C2" type="toy-b"/>
<Bond atomName1="C1" atomName2="C2"/></Residue></Residues>
<HarmonicBondForce><Bond class1="toy" class2="toy" length="0.15" k="20000"/></HarmonicBondForce>
<NonbondedForce coulomb14scale="0.833333" lj14scale="0.5">
<Atom type="toy-a" charge="{charge}" sigma="0.34" epsilon="0.4"/>
<Atom type="toy-b" charge="{-charge}" sigma="0.34" epsilon="0.4"/></NonbondedForce></ForceField>""")


def effective_samples(series: np.ndarray) -> float:
    """Kish-like count from the autocorrelation, summed to its first value below 0.03."""
    centred = series - series.mean()
    n = len(series)
    limit = n // 5
    rho = np.array([(centred[: n - k] * centred[k:]).mean() for k in range(limit)]) / centred.var()
    below = np.argmax(rho < 0.03) if (rho < 0.03).any() else limit
    return n / (1.0 + 2.0 * rho[1:below].sum())


_SIGMA, _EPSILON, _TETHER, _PAIR, _REST = 0.3, 1.0, 150.0, 600.0, 0.4
_CHARGES = (0.25, -0.25, 0.3)
_COULOMB = 138.935456


def lj_solvent() -> tuple[openmm.System, app.Topology, np.ndarray]:
    """A diatomic (no interaction within but a spring) and one charged LJ atom tethered to both of its atoms."""
    system = openmm.System()
    for mass in (12.0, 12.0, 16.0):
        system.addParticle(mass)
    bonds = openmm.HarmonicBondForce()
    bonds.addBond(0, 1, _REST, _PAIR)
    bonds.addBond(0, 2, 0.0, _TETHER)
    bonds.addBond(1, 2, 0.0, _TETHER)
    system.addForce(bonds)
    nonbonded = openmm.NonbondedForce()
    for charge in _CHARGES:
        nonbonded.addParticle(charge, _SIGMA, _EPSILON)
    nonbonded.addException(0, 1, 0.0, 1.0, 0.0)
    system.addForce(nonbonded)
    return system, bath_topology(1), np.array([[0.0, 0, 0], [0.45, 0, 0], [0.22, 0.3, 0]])


def pair_marginal() -> tuple[np.ndarray, np.ndarray]:
    """Density of the solute's distance in `lj_solvent`, by quadrature over the solvent atom in cylinder coordinates."""
    grid = np.linspace(0.05, 0.9, 341)
    z, rho = np.meshgrid(np.linspace(-1.2, 1.2, 481), np.linspace(0.002, 1.2, 300), indexing="ij")
    density = []
    for r in grid:
        energy = np.zeros_like(z)
        for place, charge in ((-0.5 * r, _CHARGES[0]), (0.5 * r, _CHARGES[1])):
            d = np.sqrt((z - place) ** 2 + rho**2)
            b = (_SIGMA / d) ** 6
            energy += 0.5 * _TETHER * d**2 + 4 * _EPSILON * (b * b - b) + _COULOMB * charge * _CHARGES[2] / d
        inner = float((rho * np.exp(-energy / KT)).sum())
        density.append(r**2 * np.exp(-0.5 * _PAIR * (r - _REST) ** 2 / KT) * inner)
    return grid, np.array(density)
