"""The operators as a device without kernels of ours would run them, on arrays of the CPU.

torch chooses an operator's code by a key. `redispatch` with the key of a device for which nothing is registered gives
the form for any device; inside, torch's own operators go by their arguments again.
"""

from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACE = "openmm_unisim"
KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.XPU)


def run_elsewhere(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """One operator's form for any device, and the forms of those that it calls."""
    with Elsewhere():
        return operator(*args, **kwargs)


class Elsewhere(TorchDispatchMode):
    """Runs all operators so, in scripted modules and in backward passes, too.

    Attributes
    ----------
    seen : set of str
        Names of the operators that ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.running: list[Any] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if (
            operator.namespace != NAMESPACE or operator in self.running
        ):  # one that asks the CPU's kernel to help
            return operator(*args, **(kwargs or {}))
        self.seen.add(operator.overloadpacket.__name__)
        self.running.append(operator)
        try:
            with self:
                return operator.redispatch(KEYS, *args, **(kwargs or {}))
        finally:
            self.running.pop()


class Recorder(TorchDispatchMode):
    """Notes arguments and results of the operators' calls.

    Attributes
    ----------
    calls : list
        Operator, arguments and results.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, Any]] = []

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __torch_dispatch__(self, operator: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = operator(*args, **(kwargs or {}))
        if operator.namespace == NAMESPACE and not kwargs:
            self.calls.append((operator, args, result))
        return result
