"""Rigid motion: superposition, and its removal from a prediction. Scriptable, batched, unit-free."""

from typing import Tuple

import torch
from torch import Tensor


def superpose(mobile: Tensor, target: Tensor) -> Tensor:
    """Rotate and translate each `mobile` onto `target` with least squared deviation (Kabsch 1976, no reflection).

    Parameters
    ----------
    mobile, target : Tensor, shape (n_copies, n_atoms, 3)

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3)
        `mobile` in the frame of `target`, in the dtype of `mobile`.
    """
    rotation, shift_from, shift_to = superposition(mobile, target)
    return ((mobile.double() - shift_from) @ rotation + shift_to).to(mobile.dtype)


def superposition(mobile: Tensor, target: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Rotation R and the two centroids such that (mobile - from) @ R + to is superposed; all double.

    Parameters
    ----------
    mobile, target : Tensor, shape (n_copies, n_atoms, 3)

    Returns
    -------
    rotation : Tensor, shape (n_copies, 3, 3)
    shift_from, shift_to : Tensor, shape (n_copies, 1, 3)
    """
    shift_from = mobile.double().mean(1, keepdim=True)
    shift_to = target.double().mean(1, keepdim=True)
    covariance = (mobile.double() - shift_from).transpose(1, 2) @ (target.double() - shift_to)
    u, _, vh = torch.linalg.svd(covariance)
    handedness = torch.linalg.det(u @ vh)
    ones = torch.ones_like(handedness)
    rotation = u @ torch.diag_embed(torch.stack([ones, ones, handedness], 1)) @ vh
    return rotation, shift_from, shift_to


def remove_rigid_motion(prediction: Tensor, reference: Tensor) -> Tensor:
    """Project rigid motion relative to `reference` out of `prediction`.

    Afterwards the centroids agree and sum_i r_i x y_i = 0 (r, y: reference and prediction about their centroids),
    which is the condition of optimal superposition. It is linear in the prediction, so it holds for a mean of
    superposed end points too, and the network need not learn it (docs/theory.md).

    Parameters
    ----------
    prediction, reference : Tensor, shape (n_copies, n_atoms, 3)

    Returns
    -------
    Tensor, shape (n_copies, n_atoms, 3)
    """
    centre = reference.mean(1, keepdim=True)
    r = reference - centre
    y = prediction - prediction.mean(1, keepdim=True)
    angular = torch.linalg.cross(r, y).sum(1)
    omega = _solve_inertia(r, angular)
    return y - torch.linalg.cross(omega.unsqueeze(1).expand_as(r), r) + centre


def _solve_inertia(r: Tensor, angular: Tensor) -> Tensor:
    """omega with (sum_i |r_i|^2 1 - r_i r_i^T) omega = angular, by cofactors; the least omega if linear."""
    x, y, z = r[..., 0], r[..., 1], r[..., 2]
    xx, yy, zz = (x * x).sum(1), (y * y).sum(1), (z * z).sum(1)
    xy, xz, yz = -(x * y).sum(1), -(x * z).sum(1), -(y * z).sum(1)
    ridge = 1e-6 * (xx + yy + zz) + 1e-12
    a, b, c = yy + zz + ridge, xx + zz + ridge, xx + yy + ridge
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    l0, l1, l2 = angular[:, 0], angular[:, 1], angular[:, 2]
    o0 = (b * c - yz * yz) * l0 + (xz * yz - xy * c) * l1 + (xy * yz - xz * b) * l2
    o1 = (xz * yz - xy * c) * l0 + (a * c - xz * xz) * l1 + (xy * xz - a * yz) * l2
    o2 = (xy * yz - b * xz) * l0 + (xy * xz - a * yz) * l1 + (a * b - xy * xy) * l2
    return torch.stack([o0, o1, o2], 1) / determinant.unsqueeze(1)
