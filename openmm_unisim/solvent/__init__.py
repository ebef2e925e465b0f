"""Jumps of a solute in explicit solvent: nonequilibrium switching (exact), or jump and relaxation (explore)."""
