"""How far an atom's prediction looks: the distance beyond which other atoms can't change it."""

from ..errors import ConfigError
from .conditioned import ConditionedConfig
from .config import PublishedConfig

__all__ = ["receptive_field"]


def receptive_field(config: ConditionedConfig | PublishedConfig) -> float:
    """Receptive field in angstrom, of positions at x_t.

    Every attention layer, and the neighbour sum of the embedding, looks one cutoff further. A refinement looks on
    along the predicted end point's distances; what atoms move between x_t and there comes on top.

    Parameters
    ----------
    config : ConditionedConfig or PublishedConfig
        The projection of rigid motion, which looks at the whole molecule, is left out: `rigid_shift`.

    Raises
    ------
    ConfigError
        If the network has global filters, whose signals are sums over all atoms.
    """
    if isinstance(config, PublishedConfig):
        return config.trunk.cutoff * (config.trunk.layers + 1)
    if config.filters:
        raise ConfigError(
            f"A field with filters = {config.filters} looks at all atoms at once, so no part of a molecule can stand "
            "for the whole; train with filters = 0, or leave large molecules whole (subgraph_atoms = 0)."
        )
    return config.cutoff * (config.layers + 1 + config.refine_layers)
