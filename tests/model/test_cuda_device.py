"""The operators on a CUDA device against the CPU: values, derivatives, tables in bfloat16. Skipped without a device."""

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from .test_any_device import (  # the calls are those that it makes of the forms for any device
    RELATIVE,
    TABLES,
    arguments,
    conditioned_calls,
    largest_relative,
    layer_of,
    published_calls,
)

if not torch.cuda.is_available():
    pytest.skip("torch finds no CUDA device", allow_module_level=True)


def there(x):
    return x.cuda() if isinstance(x, torch.Tensor) else x


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
def test_operators_for_inference(dtype) -> None:
    with torch.no_grad():
        for operator, args, expected in conditioned_calls(dtype) + published_calls(dtype):
            found = operator(*tree_map(there, args))
            for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
                one, other = (x.tril() if "step_factor" in str(operator) else x for x in (one, other))
                assert largest_relative(one.cpu().double(), other.double()) < RELATIVE[dtype], str(operator)


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_attend_and_its_derivatives(table, width, smooth, dtype) -> None:
    layer = layer_of(dtype, edge_vectors=width, vector_envelope=smooth)
    given = arguments(layer, TABLES[table](), dtype)
    nodes = layer.node_weights()
    first = [torch.nn.functional.linear(given[0], *nodes), given[1], given[2].index, given[2].mask, given[3],
             *layer.filter_weights(), given[4], given[5]]  # fmt: skip

    def run(device: str) -> list[torch.Tensor]:
        x = [value.detach().to(device) for value in first]
        inputs = [value.requires_grad_() for value in x if value.is_floating_point()]
        y, big = torch.ops.openmm_unisim.attend(*x, layer.heads, smooth)
        return [y, big, *torch.autograd.grad(y.square().sum() + big.sin().sum(), inputs)]

    for one, other in zip(run("cuda"), run("cpu")):
        assert largest_relative(one.cpu(), other) < RELATIVE[dtype]
