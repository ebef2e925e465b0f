"""Every file that a user may be handed, and what the package must do with a damaged one.

A target knows files that work, how to damage one, and how to try it. `try_case` returns "accepted" or the name of the
named error; anything else (another exception, a state that changed although the file was refused) is a finding.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openmm

from openmm_unisim import UniSimIntegrator, load_plugin
from openmm_unisim.errors import CheckpointError, UniSimError
from openmm_unisim.export.loader import load_model_file
from openmm_unisim.export.metadata import read_metadata
from openmm_unisim.provenance import sha256_of_file
from tests.fuzz.mutations import mutate_bytes, mutate_text, mutate_zip
from tests.plugin.systems import add_wells, free_atoms, jumper, random_positions
from tests.toy_models import write_toy

ROOT = Path(__file__).resolve().parents[2]
N_ATOMS = 3


class Finding(AssertionError):
    """A damaged file did what it must not do."""


class Target(Protocol):
    """One kind of file."""

    def mutate(self, rng: random.Random) -> bytes:
        """A damaged file."""

    def try_case(self, data: bytes) -> str:
        """What the package does with it."""


def from_xml(text: str) -> Any:
    """What OpenMM makes of XML. Its Python layer has errors of its own for roots that it doesn't know."""
    try:
        return openmm.XmlSerializer.deserialize(text)
    except ValueError as error:
        if str(error) not in ("Unsupported object type", "Invalid input string"):
            raise
        raise openmm.OpenMMException(str(error)) from error


def outcome(action: Callable[[], object]) -> str:
    """ "accepted", or the class of the named error."""
    try:
        action()
    except (UniSimError, openmm.OpenMMException) as error:
        text = str(error)
        if not text.strip() or "Traceback" in text:
            raise Finding(f"no sentence: {text!r}") from error
        return type(error).__name__
    return "accepted"


class ModelFile:
    """A model file with code and metadata, which something vouches for or not."""

    def __init__(self, folder: Path, kind: str):
        self.kind, self.folder = kind, folder
        self.suffix = ".unisim.pt2" if kind == "package" else ".unisim.pt"
        seed = folder / f"seed{self.suffix}"
        if kind != "package":
            write_toy(seed)
        self.seed = seed.read_bytes()
        self.vouched = {sha256_of_file(seed)}

    def mutate(self, rng: random.Random) -> bytes:
        if self.kind == "metadata":
            return mutate_zip(self.seed, rng, mutate_text, lambda name: "/extra/" in name)
        if rng.random() < 0.3:
            return mutate_bytes(self.seed, rng)
        # A shared library with another content, and right checksums, is another program: it may do anything.
        return mutate_zip(self.seed, rng, wanted=lambda name: not name.endswith((".so", ".o")))

    def try_case(self, data: bytes) -> str:
        path = self.folder / f"case{self.suffix}"
        path.write_bytes(data)
        outcome(lambda: read_metadata(path))
        topology, system = free_atoms(N_ATOMS)
        digest = sha256_of_file(path)
        if (
            digest not in self.vouched
            and outcome(lambda: UniSimIntegrator(path, topology, 300)) == "accepted"
        ):
            raise Finding("a file that nobody vouches for was loaded")
        self.vouched.add(digest)

        def run() -> None:
            integrator = load_plugin().UniSimIntegrator(str(path), 300.0, 0, digest)
            integrator.setAtomicNumbers([1] * N_ATOMS)
            integrator.setBonds([(0, 1), (1, 2)])
            context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
            context.setPositions(random_positions(N_ATOMS))
            integrator.step(1)

        found = outcome(run)
        outcome(lambda: load_model_file(path, sha256=digest))
        return found


class IntegratorXml:
    """XML of a UniSimIntegrator."""

    def __init__(self, folder: Path):
        topology, self.system = free_atoms(N_ATOMS)
        integrator = UniSimIntegrator(write_toy(folder / "xml.unisim.pt"), topology, 300, randomNumberSeed=3)
        integrator.setBonds([(0, 1)])
        integrator.setParticles([0, 1, 2])
        self.seed = openmm.XmlSerializer.serialize(integrator).encode()

    def mutate(self, rng: random.Random) -> bytes:
        return mutate_text(self.seed, rng)

    def try_case(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace").replace("\x00", "")

        def read() -> None:
            found = from_xml(text)
            if isinstance(found, openmm.Integrator) and UniSimIntegrator.isinstance(found):
                integrator = UniSimIntegrator._adopt(load_plugin().UniSimIntegrator._fromXml(text))
                context = openmm.Context(
                    self.system, integrator, openmm.Platform.getPlatformByName("Reference")
                )
                context.setPositions(random_positions(N_ATOMS))
                if integrator.getNumSubsteps() < 100 and integrator.getProposalBatchSize() < 100:
                    integrator.step(1)

        return outcome(read)


class Continuation:
    """What a Context goes on from: its checkpoint, or a State."""

    def __init__(self, folder: Path, kind: str):
        self.kind = kind
        topology, system = free_atoms(N_ATOMS)
        add_wells(system, 100.0)
        path = write_toy(folder / f"{kind}.unisim.pt")
        self.simulation, self.integrator = jumper(path, topology, system, random_positions(N_ATOMS), seed=5)
        self.integrator.setAcceptanceMode(UniSimIntegrator.MetropolisHastings)
        self.simulation.step(3)
        self.context = self.simulation.context
        self.state = self.context.getState(
            positions=True, velocities=True, parameters=True, integratorParameters=True
        )
        self.checkpoint = self.context.createCheckpoint()
        self.ours = self.checkpoint.rindex(b"UniSimC")
        self.xml = openmm.XmlSerializer.serialize(self.state).encode()

    def mutate(self, rng: random.Random) -> bytes:
        if self.kind == "state":
            return mutate_text(self.xml, rng)
        return self.checkpoint[: self.ours] + mutate_bytes(self.checkpoint[self.ours :], rng)

    def try_case(self, data: bytes) -> str:
        self.context.loadCheckpoint(self.checkpoint)
        before = self._ours()
        if self.kind == "state":
            text = data.decode("utf-8", "replace").replace("\x00", "")
            found = outcome(lambda: self.context.setState(from_xml(text)))
        else:
            found = outcome(lambda: self.context.loadCheckpoint(data))
        if found != "accepted" and self._ours() != before:
            raise Finding(f"refused, and yet changed: {before} to {self._ours()}")
        return found

    def _ours(self) -> tuple[Any, ...]:
        integrator = self.integrator
        state = self.context.getState(integratorParameters=True)
        text = openmm.XmlSerializer.serialize(state)
        return (
            integrator.getJumpIndex(), integrator.getNumProposed(), integrator.getNumAccepted(), integrator.getNumNaN(),
            integrator.getLastLogAcceptance(), text[text.index("<IntegratorParameters") :],
        )  # fmt: skip


class TextFile:
    """A file of settings, or a structure, and the function that reads it."""

    def __init__(self, folder: Path, seeds: list[Path], read: Callable[[Path], object]):
        self.seeds, self.read = seeds, read
        self.folder = folder

    def mutate(self, rng: random.Random) -> bytes:
        self.index = rng.randrange(len(self.seeds))
        return mutate_text(self.seeds[self.index].read_bytes(), rng)

    def try_case(self, data: bytes) -> str:
        path = self.folder / f"case{self.seeds[0].suffix}"
        path.write_bytes(data)
        return outcome(lambda: self.read(path))


def _read_training(path: Path) -> None:
    from openmm_unisim.cli.train import read_config
    from openmm_unisim.training.config import VectorFieldConfig
    from openmm_unisim.training.guidance_config import GuidanceConfig
    from openmm_unisim.training.pretrain_config import PretrainConfig

    errors = [
        outcome(lambda kind=kind: read_config(path, kind))
        for kind in (VectorFieldConfig, GuidanceConfig, PretrainConfig)
    ]
    if "accepted" not in errors:
        read_config(path, VectorFieldConfig)


def _read_record(path: Path) -> None:
    """The records of a run folder: run.json, checkpoint.json."""
    from openmm_unisim.simulation.outputs import RunFolder

    (path.parent / "checkpoint.json").write_bytes(path.read_bytes())
    (path.parent / "run.json").write_bytes(path.read_bytes())
    (path.parent / "checkpoint.chk").write_bytes(b"data")
    for name in ("trajectory.xtc", "jumps.csv"):
        (path.parent / name).write_bytes(b"x" * 100)
    folder = RunFolder(path.parent)
    folder.read_run_record()
    _, record = folder.load_checkpoint()
    try:
        folder.truncate_to(record)
    except CheckpointError:
        if any((path.parent / name).stat().st_size != 100 for name in ("trajectory.xtc", "jumps.csv")):
            raise Finding("refused, and yet files were cut") from None
        raise


def _checkpoint_record(folder: Path) -> Path:
    import hashlib
    import json

    path = folder / "record.json"
    path.write_text(
        json.dumps(
            {
                "jumps": 3,
                "wall_s": 1.5,
                "sha256": hashlib.sha256(b"data").hexdigest(),
                "bytes": {"trajectory.xtc": 100, "jumps.csv": 50},
            }
        ),
        encoding="utf-8",
    )
    return path


def _structure(folder: Path) -> list[Path]:
    from openmm import app, unit

    from openmm_unisim.system import build_capped_peptide

    molecule = build_capped_peptide("A")
    with open(folder / "seed.pdb", "w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(molecule.topology, molecule.positions * unit.nanometer, stream)
    return [folder / "seed.pdb"]


def _read_structure(path: Path) -> None:
    from openmm_unisim.system import load_molecule

    molecule = load_molecule(path)
    if not np.isfinite(molecule.positions).all():
        raise Finding("positions that aren't finite were accepted")


def make_target(kind: str, folder: Path) -> Target:
    """The target of a kind, which works in `folder`."""
    from openmm_unisim.data.plan import DataPlan
    from openmm_unisim.hybrid.protocol import load_protocol

    if kind in ("torchscript", "package", "metadata"):
        return ModelFile(folder, kind)
    if kind == "integrator-xml":
        return IntegratorXml(folder)
    if kind in ("checkpoint", "state"):
        return Continuation(folder, kind)
    shipped = ROOT / "openmm_unisim"
    if kind == "protocol":
        return TextFile(folder, sorted((shipped / "hybrid" / "protocols").glob("*.yaml")), load_protocol)
    if kind == "training-config":
        return TextFile(folder, sorted((shipped / "pretrained").glob("*/*.json")), _read_training)
    if kind == "data-plan":
        return TextFile(
            folder, [ROOT / "data" / "plan-1.json", ROOT / "data" / "plan-labels.json"], DataPlan.load
        )
    if kind == "run-record":
        return TextFile(folder, [_checkpoint_record(folder)], _read_record)
    if kind == "pdb":
        return TextFile(folder, _structure(folder), _read_structure)
    raise ValueError(kind)


KINDS = (
    "torchscript", "package", "metadata", "integrator-xml", "checkpoint", "state", "protocol", "training-config",
    "data-plan", "run-record", "pdb",
)  # fmt: skip
