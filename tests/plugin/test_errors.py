"""Every error a newcomer meets is one sentence that names cause and cure."""

import re

import numpy as np
import openmm
import pytest
import torch
from openmm import app

from openmm_unisim import (
    ConfigError,
    MissingHydrogensError,
    ModelDomainError,
    ModelFileError,
    UniSimIntegrator,
    UnknownElementError,
    load_plugin,
)
from openmm_unisim.export.exporter import save_model_file
from openmm_unisim.provenance import sha256_of_file
from tests.plugin.systems import free_atoms, jumper, make_context, positions_of, random_positions
from tests.toy_models import OrnsteinUhlenbeck, toy_metadata, write_toy


def one_sentence(error: pytest.ExceptionInfo) -> bool:
    text = str(error.value)
    return "\n" not in text and text.rstrip().endswith(".") and "Traceback" not in text


def test_missing_truncated_and_foreign_model_files(toys, tmp_path) -> None:
    topology = free_atoms(2)[0]
    truncated, foreign, other = (tmp_path / name for name in ("a.unisim.pt", "b.unisim.pt", "c.unisim.pt"))
    truncated.write_bytes(toys["ou"].read_bytes()[:-500])
    foreign.write_bytes(b"not a model")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(other))
    for path in (tmp_path / "absent.unisim.pt", truncated, foreign, other):
        with pytest.raises(ModelFileError) as error:
            UniSimIntegrator(path, topology, 300)
        assert one_sentence(error)
        with pytest.raises(openmm.OpenMMException, match=r"^Model file ") as error:
            load_plugin().UniSimIntegrator(str(path), 300.0)
        assert one_sentence(error), str(error.value)


def rewritten(source, target, changes: dict) -> str:
    """A copy of a model file with some metadata replaced, or dropped where the value is None."""
    import zipfile

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            key = info.filename.split("/")[-1] if "/extra/" in info.filename else None
            data = old.read(info)
            if key in changes:
                if changes[key] is None:
                    continue
                data = changes[key].encode()
            new.writestr(info.filename, data)
    return str(target)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lag_time_ps": None}, "lacks the metadata lag_time_ps"),
        ({"elements": None}, "lacks the metadata elements"),
        ({"format_version": None}, "holds no UniSim metadata"),
        ({"format_version": "5"}, "has format 5, and this version reads formats up to 4"),
        ({"container": "zip"}, "container 'zip', which isn't known"),
        ({"processor": "x86-64-v3"}, "has the container torchscript with processor 'x86-64-v3'"),
        ({"container": "aotinductor", "processor": "z80"}, "which its suffix doesn't say"),
        ({"operators": "9"}, "needs version 9 of the fused operators, and this version has 3"),
        ({"format_version": "0"}, "is no format"),
        ({"masses": None}, "lacks the metadata masses"),
        ({"conditioned_on_initial": None}, "lacks the metadata conditioned_on_initial"),
        ({"symmetry": "banana"}, "symmetry 'banana', which isn't known"),
        ({"elements": "1,6,999"}, "aren't all atomic numbers"),
        ({"temperature_range_K": "400,200"}, "outside its temperature_range_K"),
        ({"friction": "-1"}, "must not be negative"),
        ({"forces_required": "true", "guidance": "none"}, "which takes none"),
        ({"lag_time_ps": "long"}, "lag_time_ps = 'long', which should be numbers"),
        ({"lag_time_ps": "-1.0"}, "lag_time_ps -1.0, which must be positive"),
        ({"scalar_type": "float16"}, "scalar_type 'float16'"),
        ({"periodic": "maybe"}, "periodic = 'maybe', which should be true or false"),
        ({"temperature_range_K": "300.0"}, "temperature_range_K that isn't two numbers"),
    ],
)
def test_metadata_that_cannot_be_used(toys, tmp_path, changes: dict, message: str) -> None:
    path = rewritten(toys["ou"], tmp_path / "changed.unisim.pt", changes)
    with pytest.raises(openmm.OpenMMException, match=re.escape(message)) as error:
        load_plugin().UniSimIntegrator(path, 300.0, 0, sha256_of_file(path))
    assert one_sentence(error)


class Incomplete(torch.nn.Module):
    """A module without the methods of the contract."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_module_without_the_contract(tmp_path) -> None:
    path = tmp_path / "incomplete.unisim.pt"
    save_model_file(Incomplete(), toy_metadata("ou"), path)
    with pytest.raises(openmm.OpenMMException, match="lacks the method step"):
        load_plugin().UniSimIntegrator(str(path), 300.0)


class Shrinking(OrnsteinUhlenbeck):
    """Returns one atom too few."""

    @torch.jit.export
    def step(
        self, positions: torch.Tensor, initial_positions: torch.Tensor, atomic_numbers: torch.Tensor,
        bonds: torch.Tensor, t: torch.Tensor, t_next: torch.Tensor, kT: float, forces: torch.Tensor,
        guidance_scale: float, box_vectors: torch.Tensor, noise: torch.Tensor,
    ):  # fmt: skip
        return positions[:, 1:], t


def test_a_module_that_breaks_the_contract_in_a_step(tmp_path) -> None:
    path = tmp_path / "shrinking.unisim.pt"
    save_model_file(Shrinking(), toy_metadata("ou"), path)
    topology, system = free_atoms(3)
    simulation, _ = jumper(path, topology, system, random_positions(3))
    with pytest.raises(openmm.OpenMMException, match="returned 2 positions where 3 are due") as error:
        simulation.step(1)
    assert one_sentence(error)


def test_an_error_inside_the_model_is_one_sentence(tmp_path) -> None:
    """The module itself refuses nitrogen, though its metadata promise it."""
    path = write_toy(tmp_path / "m.unisim.pt", "ou", metadata={"elements": (1, 6, 53)})
    topology, system = free_atoms(2, symbol="I")
    start = random_positions(2)
    simulation, _ = jumper(path, topology, system, start)
    with pytest.raises(
        openmm.OpenMMException, match=r"failed in step: .*Atomic number 53 is unknown"
    ) as error:
        simulation.step(1)
    assert one_sentence(error), str(error.value)
    assert np.array_equal(positions_of(simulation), start)


def test_substeps_that_the_model_does_not_offer(tmp_path) -> None:
    path = write_toy(tmp_path / "fixed.unisim.pt", "ou", times=[0.0, 0.1, 0.9, 1.0])
    topology = free_atoms(2)[0]
    with pytest.raises(ModelDomainError, match="offers no time grid of 5 substeps"):
        UniSimIntegrator(path, topology, 300, 5)
    integrator = UniSimIntegrator(path, topology, 300)
    with pytest.raises(ModelDomainError, match="offers no time grid of 7 substeps"):
        integrator.setNumSubsteps(7)
    assert integrator.getTimeGrid() == (0.0, 0.1, 0.9, 1.0)


def test_temperature_outside_the_models(toys) -> None:
    with pytest.raises(ModelDomainError, match="Temperature 400 K is outside the 250 to 350 K"):
        UniSimIntegrator(toys["ou"], free_atoms(2)[0], 400)


def peptide(hydrogens: bool, metal: bool = False) -> app.Topology:
    """A glycine-like residue, maybe without hydrogens, maybe with a gold atom."""
    topology = app.Topology()
    residue = topology.addResidue("GLY", topology.addChain(), "7")
    symbols = ["N", "C", "C", "O"] + (["H", "H", "H"] if hydrogens else []) + (["Au"] if metal else [])
    atoms = [topology.addAtom(f"{s}{i}", app.Element.getBySymbol(s), residue) for i, s in enumerate(symbols)]
    for i in range(3):
        topology.addBond(atoms[i], atoms[i + 1])
    return topology


def test_unknown_element_names_atom_and_residue(toys) -> None:
    with pytest.raises(UnknownElementError, match=r"^Atom 7 \(Au7 of GLY 7\) has element Au") as error:
        UniSimIntegrator(toys["ou"], peptide(True, metal=True), 300)
    assert one_sentence(error)


def test_missing_hydrogens_name_the_residue(toys) -> None:
    with pytest.raises(MissingHydrogensError, match="Residue GLY 7 has carbon but no hydrogens") as error:
        UniSimIntegrator(toys["ou"], peptide(False), 300)
    assert one_sentence(error)


def test_particles_must_be_whole_molecules_of_the_topology(toys) -> None:
    topology = peptide(True)
    with pytest.raises(ConfigError, match=r"cuts the bond between atom 1 \(C1 of GLY 7\) and atom 2"):
        UniSimIntegrator(toys["ou"], topology, 300, particles=[0, 1, 4])
    with pytest.raises(ConfigError, match="particles holds 99"):
        UniSimIntegrator(toys["ou"], topology, 300, particles=[99])


def test_water_must_be_left_out(toys) -> None:
    topology = peptide(True)
    water = topology.addResidue("HOH", topology.addChain())
    for symbol in "OHH":
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), water)
    with pytest.raises(ModelDomainError, match="1 water molecules"):
        UniSimIntegrator(toys["ou"], topology, 300)
    assert UniSimIntegrator(toys["ou"], topology, 300, particles=range(7)).getParticles() == tuple(range(7))


def test_system_and_particles_must_fit(toys) -> None:
    def context(change) -> None:
        topology, system = free_atoms(3)
        integrator = UniSimIntegrator(toys["ou"], topology, 300)
        change(integrator, system)
        openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))

    cases = [
        (lambda i, s: s.addParticle(1.0), "3 atomic numbers are set for 4 jumping particles"),
        (lambda i, s: i.setParticles([0, 1, 3]), "Particle 3 can't jump: the System has 3 particles"),
        (lambda i, s: i.setParticles([0, 1, 1]), "Particle 1 occurs twice"),
        (lambda i, s: s.setParticleMass(2, 0.0), "Particle 2 has no mass"),
        (lambda i, s: i.setBonds([(0, 5)]), "bond between particles 0 and 5"),
        (lambda i, s: i.setAtomicNumbers([1, 1, 79]), "Particle 2 has atomic number 79"),
    ]
    for change, message in cases:
        with pytest.raises(openmm.OpenMMException, match=message) as error:
            context(change)
        assert one_sentence(error)


def test_virtual_sites_cannot_be_among_the_jumping_particles(toys) -> None:
    topology, system = free_atoms(3)
    system.setParticleMass(2, 0.0)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    with pytest.raises(openmm.OpenMMException, match="Particle 2 is a virtual site"):
        jumper(toys["ou"], topology, system, random_positions(3))


def test_a_model_that_needs_bonds_says_so(toys) -> None:
    topology, system = free_atoms(3)
    with pytest.raises(openmm.OpenMMException, match="needs bonds, but none are set"):
        jumper(toys["needs_bonds"], topology, system, random_positions(3))


def test_nan_and_unset_positions(toys, platform) -> None:
    topology, system = free_atoms(3)
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    context = make_context(system, integrator, platform)
    with pytest.raises(openmm.OpenMMException, match="positions have not been set"):
        integrator.step(1)
    context.setPositions(np.full((3, 3), np.nan))
    with pytest.raises(openmm.OpenMMException, match="position of particle 0 is NaN or infinite"):
        integrator.step(1)


def test_unbound_and_twice_bound(toys) -> None:
    topology, system = free_atoms(3)
    platform = openmm.Platform.getPlatformByName("Reference")
    integrator = UniSimIntegrator(toys["ou"], topology, 300)
    with pytest.raises(openmm.OpenMMException, match="not bound to a context"):
        integrator.step(1)
    context = openmm.Context(system, integrator, platform)
    with pytest.raises(openmm.OpenMMException, match="already bound to a context"):
        openmm.Context(system, integrator, platform)
    del context
