"""Neighbour tables: edges grouped by destination in a rectangle, so that sums over edges are plain sums.

=========  ==============================================  =================
symbol     meaning                                         variable
=========  ==============================================  =================
x_s - x_d  source minus destination, angstrom              displacement
r          length of an edge                               distance
u          (x_s - x_d)/r, zero on self-loops               direction
m          0 = first monomer, 1 = ligand                   monomer_index
=========  ==============================================  =================

Source: UniSim, spec section 3.
"""

from typing import NamedTuple, Tuple

import torch
from torch import Tensor

from ..errors import NonFiniteError
from .cell_list import cell_list_pairs, pair_length

__all__ = [
    "BRUTE_FORCE_LIMIT",
    "NeighbourTable",
    "edge_geometry",
    "edge_pairs",
    "full_table",
    "gather_sources",
    "published_table",
    "spread_sources",
    "table_from_pairs",
    "table_layout",
]

BRUTE_FORCE_LIMIT = 900  # atoms above which neighbours are found with cells (measured crossing on one core)


class NeighbourTable(NamedTuple):
    """Rectangular neighbour table.

    Attributes
    ----------
    index : Tensor, shape (n_atoms, K), int64
        Source atom of slot k of destination i; padded slots hold i.
    mask : Tensor, shape (n_atoms, K), bool
        True for a real edge.
    block : int
        > 0: atoms come in consecutive blocks of `block` atoms, each fully connected in order (K == block), so
        that gathers may broadcast; 0: general.
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    mask: Tensor
    block: int


def table_layout(table: NeighbourTable) -> Tuple[int, int, int]:
    """Shape (groups, destinations per group, slots) in which edge arrays match `spread_sources`."""
    n_atoms, slots = table.index.size(0), table.index.size(1)
    if table.block > 0:
        return n_atoms // table.block, table.block, slots
    return n_atoms, 1, slots


def spread_sources(x: Tensor, table: NeighbourTable) -> Tensor:
    """Values of the source atoms, to be broadcast over a group's destinations; no copy for block tables.

    Parameters
    ----------
    x : Tensor, shape (n_atoms, C)
    table : NeighbourTable

    Returns
    -------
    Tensor, shape (groups, 1, K, C)
        See `table_layout` for the groups.
    """
    groups, _, slots = table_layout(table)
    if table.block > 0:
        return x.reshape(groups, 1, slots, x.size(1))
    return x[table.index].unsqueeze(1)


def gather_sources(x: Tensor, table: NeighbourTable) -> Tensor:
    """Values of the source atom of every slot.

    Parameters
    ----------
    x : Tensor, shape (n_atoms, ...)
    table : NeighbourTable

    Returns
    -------
    Tensor, shape (n_atoms, K, ...)
        For block tables the backward pass is a sum instead of a scatter.
    """
    if table.block > 0:
        groups, per_group, slots = table_layout(table)
        spread = x.reshape(groups, 1, slots, -1).expand(groups, per_group, slots, -1)
        return spread.reshape(table.index.shape + x.shape[1:])
    return x[table.index]


def edge_geometry(positions: Tensor, table: NeighbourTable) -> Tuple[Tensor, Tensor]:
    """Lengths and directions of the edges; finite to any derivative where source and destination coincide.

    Parameters
    ----------
    positions : Tensor, shape (n_atoms, 3), angstrom
    table : NeighbourTable

    Returns
    -------
    distance : Tensor, shape (n_atoms, K), angstrom
    direction : Tensor, shape (n_atoms, K, 3)
        (x_source - x_destination) / distance; zero on self-loops and padded slots.
    """
    displacement = gather_sources(positions, table) - positions.unsqueeze(1)
    squared = (displacement * displacement).sum(-1)
    apart = squared > 0
    length = torch.where(apart, squared, torch.ones_like(squared)).sqrt()
    distance = torch.where(apart, length, torch.zeros_like(length))
    direction = displacement / length.unsqueeze(-1)  # the numerator is zero where the length was replaced
    return distance, direction


def edge_pairs(table: NeighbourTable) -> Tensor:
    """Real edges as pairs.

    Parameters
    ----------
    table : NeighbourTable

    Returns
    -------
    Tensor, shape (2, E), int64
        Row 0 the sources, row 1 the destinations, ordered by destination.
    """
    destination = (
        torch.arange(table.index.size(0), device=table.index.device).unsqueeze(1).expand_as(table.index)
    )
    return torch.stack([table.index[table.mask], destination[table.mask]])


def full_table(n_copies: int, n_atoms: int, device: torch.device) -> NeighbourTable:
    """Block table of `n_copies` molecules of `n_atoms` atoms, each fully connected, self-loops included.

    Parameters
    ----------
    n_copies, n_atoms : int
    device : torch.device

    Returns
    -------
    NeighbourTable
        K = n_atoms; rows copy by copy.
    """
    within = torch.arange(n_atoms, device=device).view(1, 1, n_atoms)
    start = torch.arange(n_copies, device=device).view(n_copies, 1, 1) * n_atoms
    index = (start + within).expand(n_copies, n_atoms, n_atoms).reshape(n_copies * n_atoms, n_atoms)
    return NeighbourTable(index, torch.ones_like(index, dtype=torch.bool), n_atoms)


def table_from_pairs(source: Tensor, destination: Tensor, n_atoms: int, width: int) -> NeighbourTable:
    """General table of a list of edges without repeats.

    Parameters
    ----------
    source, destination : Tensor, shape (E,), int64
    n_atoms : int
    width : int
        Smallest number of slots K; the largest degree is taken where that is more.

    Returns
    -------
    NeighbourTable
        Slots of a row ordered by source; block = 0.
    """
    order = torch.argsort(destination * n_atoms + source)
    source, destination = source[order], destination[order]
    degree = torch.bincount(destination, minlength=n_atoms)
    slots = max(width, 1)
    if source.numel() > 0:
        slots = max(slots, int(degree.max().item()))
    start = torch.cumsum(degree, 0) - degree
    slot = torch.arange(source.numel(), device=source.device) - start[destination]
    index = torch.arange(n_atoms, device=source.device).unsqueeze(1).repeat(1, slots)
    mask = torch.zeros_like(index, dtype=torch.bool)
    index[destination, slot] = source
    mask[destination, slot] = True
    return NeighbourTable(index, mask, 0)


def _brute_force_pairs(positions: Tensor, group: Tensor, cutoff: float) -> Tuple[Tensor, Tensor]:
    """The result of `cell_list_pairs`, through an n_atoms x n_atoms array."""
    displacement = positions.unsqueeze(1) - positions.unsqueeze(0)
    near = pair_length(displacement) < cutoff
    pairs = (near & (group.unsqueeze(1) == group.unsqueeze(0))).nonzero()
    return pairs[:, 0], pairs[:, 1]


def _nearest_pairs(
    positions: Tensor, molecule_index: Tensor, monomer_index: Tensor, neighbours: int
) -> Tuple[Tensor, Tensor]:
    """Both directions between each ligand atom and its molecule's nearest first-monomer atoms."""
    ligand = (monomer_index == 1).nonzero().squeeze(1)
    host = (monomer_index == 0).nonzero().squeeze(1)
    count = min(neighbours, host.numel())
    sources = [ligand[:0]]
    destinations = [ligand[:0]]
    if count > 0:
        held = 64  # ligand atoms whose distances to all host atoms are held at once
        for first in range(0, ligand.numel(), held):
            rows = ligand[first : first + held]
            distance = torch.cdist(positions[rows], positions[host])
            foreign = molecule_index[rows].unsqueeze(1) != molecule_index[host].unsqueeze(0)
            nearest = torch.topk(distance.masked_fill(foreign, float("inf")), count, 1, False)
            near = torch.isfinite(nearest.values)
            row = rows.unsqueeze(1).expand(rows.numel(), count)[near]
            column = host[nearest.indices][near]
            sources += [row, column]
            destinations += [column, row]
    return torch.cat(sources), torch.cat(destinations)


def published_table(
    positions: Tensor,
    molecule_index: Tensor,
    is_hydrogen: Tensor,
    monomer_index: Tensor,
    cutoff: float = 5.0,
    hydrogen_cutoff: float = 3.5,
    neighbours: int = 16,
    width: int = 0,
    brute_force_limit: int = BRUTE_FORCE_LIMIT,
) -> NeighbourTable:
    """Neighbour table by the published rules (spec section 3); memory linear in the atoms of a large system.

    Parameters
    ----------
    positions : Tensor, shape (n_atoms, 3), angstrom
    molecule_index : Tensor, shape (n_atoms,), int64
        Sample of the batch that the atom belongs to; edges stay within a sample.
    is_hydrogen : Tensor, shape (n_atoms,), bool
    monomer_index : Tensor, shape (n_atoms,), int64
        0 = only or first monomer, 1 = ligand.
    cutoff, hydrogen_cutoff : float, angstrom
        Edges are shorter than `cutoff`; those with a hydrogen end are no longer than `hydrogen_cutoff`.
    neighbours : int
        First-monomer atoms joined to each ligand atom.
    width : int
        Smallest number of slots, to keep shapes steady from call to call; 0 = as many as needed.
    brute_force_limit : int
        Atoms above which a cell list is used.

    Returns
    -------
    NeighbourTable
        Self-loops included; block = 0.
    """
    n_atoms = positions.size(0)
    positions = positions.detach()
    if not bool(torch.isfinite(positions).all()):
        raise NonFiniteError(
            "Positions hold NaN or infinite numbers, so no neighbours exist; check the last step."
        )
    group = 2 * molecule_index + monomer_index
    if n_atoms > brute_force_limit:
        source, destination = cell_list_pairs(positions, group, cutoff)
    else:
        source, destination = _brute_force_pairs(positions, group, cutoff)
    if bool((monomer_index == 1).any()):
        more = _nearest_pairs(positions, molecule_index, monomer_index, neighbours)
        source, destination = torch.cat([source, more[0]]), torch.cat([destination, more[1]])
    with_hydrogen = is_hydrogen[source] | is_hydrogen[destination]
    keep = ~(with_hydrogen & (pair_length(positions[source] - positions[destination]) > hydrogen_cutoff))
    return table_from_pairs(source[keep], destination[keep], n_atoms, width)
