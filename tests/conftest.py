"""Shared test set-up."""

import os

os.environ.setdefault(
    "OPENMM_DEFAULT_PLATFORM", "Reference"
)  # with PoCL present an unnamed Context takes OpenCL

import torch

torch.set_num_threads(
    1
)  # two spinning threads on a busy two-core machine are a hundred times slower than one
