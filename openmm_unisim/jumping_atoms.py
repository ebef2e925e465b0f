"""From a Topology to what a model sees: which atoms jump, their elements and bonds, and what can't jump by name."""

from collections.abc import Sequence

from openmm import app

from .elements import ATOMIC_NUMBERS
from .errors import ConfigError, MissingHydrogensError, ModelDomainError, UnknownElementError
from .whole_numbers import whole_numbers

__all__ = ["jumping_atoms", "jumping_bonds"]

_PROTEIN = set(
    "ACE ALA ARG ASN ASP CYS CYX GLN GLU GLY HIS HID HIE HIP ILE LEU LYS MET NME PHE PRO SER THR TRP TYR "
    "VAL".split()
)
_WATER = {"HOH", "WAT", "SOL", "H2O", "TIP3", "TIP4", "SPC"}


def jumping_atoms(
    topology: app.Topology, particles: Sequence[int] | None, elements: Sequence[int], periodic: bool
) -> list[app.topology.Atom]:
    """Atoms that jump, in the order in which the model sees them, all of known elements.

    Parameters
    ----------
    topology : openmm.app.Topology
    particles : sequence of int or None
        Their indices; None: all that have an element.
    elements : sequence of int
        Atomic numbers that the model knows.
    periodic : bool
        Whether the model was made for boxes of solvent.

    Raises
    ------
    ConfigError, ModelDomainError, MissingHydrogensError, UnknownElementError
    """
    if not isinstance(topology, app.Topology):
        raise ConfigError(f"topology = {topology!r} must be an openmm.app.Topology; give the structure's.")
    everything = list(topology.atoms())
    if particles is None:
        atoms = [atom for atom in everything if atom.element is not None]
        _check_no_water(topology, periodic)
    else:
        indices = whole_numbers(particles, "particles")
        for index in indices:
            if not 0 <= index < len(everything):
                raise ConfigError(
                    f"particles holds {index}, but the Topology has atoms 0 to {len(everything) - 1}."
                )
        atoms = [everything[index] for index in indices]
    if not atoms:
        raise ConfigError("No atom is left to jump; give a Topology with elements, or other particles.")
    for atom in atoms:
        _check_element(atom, elements)
    _check_hydrogens(atoms)
    return atoms


def _check_element(atom: app.topology.Atom, elements: Sequence[int]) -> None:
    if atom.element is not None and atom.element.atomic_number in elements:
        return
    what = "no element" if atom.element is None else f"element {atom.element.symbol}"
    known = ", ".join(app.Element.getByAtomicNumber(z).symbol for z in sorted(elements))
    reason = "" if atom.element is None or atom.element.atomic_number in ATOMIC_NUMBERS else " (nor does any)"
    raise UnknownElementError(
        f"A{_name(atom)[1:]} has {what}, which this model does not know{reason}; it knows {known}; use a "
        "model trained on it, or, in a script, leave that molecule out of `particles`."
    )


def _check_hydrogens(atoms: Sequence[app.topology.Atom]) -> None:
    """Refuse structures as crystallography gives them: residues with carbon that have no hydrogens."""
    with_hydrogen = {atom.residue for atom in atoms if atom.element.atomic_number == 1}
    for atom in atoms:
        bare = atom.element.atomic_number == 6 and atom.residue not in with_hydrogen
        if bare and (not with_hydrogen or atom.residue.name in _PROTEIN):
            raise MissingHydrogensError(
                f"Residue {atom.residue.name} {atom.residue.id} has carbon but no hydrogens, and the model "
                "moves all atoms; add them with `Modeller.addHydrogens` or with --repair (pdbfixer)."
            )


def _check_no_water(topology: app.Topology, periodic: bool) -> None:
    waters = sum(residue.name in _WATER for residue in topology.residues())
    if waters > 0 and topology.getNumResidues() > waters and not periodic:
        raise ModelDomainError(
            f"The Topology has {waters} water molecules, and this model was made for molecules without "
            "explicit water; give the atoms that jump as `particles`, or use an implicit solvent."
        )


def jumping_bonds(topology: app.Topology, atoms: Sequence[app.topology.Atom]) -> list[tuple[int, int]]:
    """Bonds between the atoms that jump; one that crosses their boundary is an error."""
    jumping = {atom.index for atom in atoms}
    bonds = []
    for bond in topology.bonds():
        ends = (bond.atom1.index, bond.atom2.index)
        inside = sum(end in jumping for end in ends)
        if inside == 1 and bond.atom1.element is not None and bond.atom2.element is not None:
            raise ConfigError(
                f"particles cuts the bond between {_name(bond.atom1)} and {_name(bond.atom2)}; "
                "let whole molecules jump."
            )
        if inside == 2:
            bonds.append(ends)
    return bonds


def _name(atom: app.topology.Atom) -> str:
    return f"atom {atom.index} ({atom.name} of {atom.residue.name} {atom.residue.id})"
