"""Noise on virtual markers like the errors of a body recovered from one camera, for training.

One camera measures directions well and depth poorly, and a body model errs by whole limbs: the errors of a limb's
markers are correlated, last for many frames and grow from the trunk outwards. The noise has five parts:

- the whole body drifts, mostly along the line of sight;
- every segment is displaced relative to its parent, smoothly and by a constant per clip, together with its
  descendants; again more in depth;
- every segment rotates slightly about the centroid of its markers;
- every marker has a constant offset per clip, and jitters from frame to frame;
- a limb is hidden for a while; single markers are hidden at any time.

Lasting errors are Ornstein-Uhlenbeck processes: Gaussian, with correlation exp(-|t|/time). On a clip's frames the
correlation is a matrix. Its largest eigenvectors (`modes`) times white noise give the process without its fastest part,
which the jitter covers. So there is no loop over frames: the displacements of a batch are one matrix product.

Magnitudes: table 1 of the BioPose paper has mean joint errors of 29 to 73 mm after alignment of the whole pose, 43 to
114 mm with aligned pelvis. "high" corresponds to the best aligned ones, 35 mm (RMS from the pelvis to the hand, without
drift); "medium" is 18 and "low" 8 mm. These levels, their division among the parts, the correlation times and the
depth ratios are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

import torch
from torch import Tensor

DRIFT_TIME, SEGMENT_TIME = 1.0, 0.4  # s, after which the correlation has fallen to 1/e
DRIFT_DEPTH_RATIO, SEGMENT_DEPTH_RATIO = 4.0, 2.5  # displacement along the line of sight over that across it
KEPT_VARIANCE = 0.95  # of a process: the rest is faster than 5 Hz for a limb in a clip of 1.6 s
MAX_GAP = 1.0  # s, for which a limb is hidden


@dataclass(frozen=True)
class NoiseLevel:
    """Magnitude of the noise.

    Standard deviations are per axis; those with a depth ratio are across the line of sight.
    """

    drift: float = 0.0  # m, of the whole body
    segment: float = 0.0  # m, of a segment relative to its parent, varying
    segment_bias: float = 0.0  # m, of a segment relative to its parent, constant in a clip
    rotation: float = 0.0  # rad, of a segment
    marker: float = 0.0  # m, of a marker, constant in a clip
    jitter: float = 0.0  # m, of a marker, independent in every frame
    limb_missing: float = 0.0  # fraction of the clips in which a limb is hidden for a while
    marker_missing: float = 0.0  # fraction of single markers that are hidden

    def scaled(self, factor: float) -> NoiseLevel:
        """The level with all magnitudes multiplied by `factor`; fractions stay within 1."""
        sizes = {name: factor * size for name, size in asdict(self).items()}
        fractions = {name: min(1.0, size) for name, size in sizes.items() if name.endswith("_missing")}
        return NoiseLevel(**(sizes | fractions))


_HIGH = NoiseLevel(
    drift=0.020,
    segment=0.0036,
    segment_bias=0.0036,
    rotation=0.087,
    marker=0.008,
    jitter=0.004,
    limb_missing=0.3,
    marker_missing=0.05,
)
LEVELS = {"clean": NoiseLevel(), "low": _HIGH.scaled(8 / 35), "medium": _HIGH.scaled(18 / 35), "high": _HIGH}


def add_noise(
    markers: Tensor,
    segments: Sequence[int],
    parents: Sequence[int],
    fps: float,
    level: NoiseLevel,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Noisy markers (C, T, M, 3), m, and a bool mask (C, T, M) of the visible ones. Hidden markers keep finite values.

    The line of sight is horizontal and random for each clip. Rotations are first-order: the error at 5 degrees is 0.4
    %.

    Parameters
    ----------
    markers : (C, T, M, 3) m, ground frame (y up), finite
    segments : segment index of each marker
    parents : parent index of each segment; a parent precedes its children; -1 for a root
    fps : frames/s
    level : magnitudes
    generator : source of all random numbers, on the markers' device

    Raises
    ------
    ValueError
        A segment precedes its parent.
    """
    clips, frames, count, _ = markers.shape
    carried_by = _carried_by(segments, parents).to(markers)
    slow, fast = (modes(frames, fps, time).to(markers) for time in (DRIFT_TIME, SEGMENT_TIME))
    basis = torch.cat([slow, fast, fast.new_ones(frames, 1)], dim=1)

    def normal(*shape: int) -> Tensor:
        """Axes come first, so that each product below is over the last two dimensions."""
        return torch.randn(3, clips, *shape, generator=generator, device=markers.device, dtype=markers.dtype)

    sight = _line_of_sight(clips, generator, markers)
    drift = _scale_depth(level.drift * normal(slow.shape[1], 1), sight, DRIFT_DEPTH_RATIO)
    mode_std = fast.new_tensor([level.segment] * fast.shape[1] + [level.segment_bias])
    segment_offsets = mode_std[:, None] * normal(fast.shape[1] + 1, len(parents))
    displacements = _scale_depth(segment_offsets, sight, SEGMENT_DEPTH_RATIO) @ carried_by.T
    displacements[:, :, -1] += level.marker * normal(count)
    coefficients = torch.cat([drift.expand(-1, -1, -1, count), displacements], dim=2)
    rotations = fast @ (level.rotation * normal(fast.shape[1], len(parents)))[..., list(segments)]

    clean = markers.movedim(-1, 0).contiguous()
    arms = clean @ _about_centroid(segments).to(markers)
    # in place: allocating memory costs as much as the sums
    noisy = normal(frames, count).mul_(level.jitter).add_(clean)
    noisy.flatten(0, 1).baddbmm_(basis.expand(3 * clips, -1, -1), coefficients.flatten(0, 1))
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):  # cross product of rotation vector and lever arm
        noisy[i].addcmul_(rotations[j], arms[k]).addcmul_(rotations[k], arms[j], value=-1)
    return noisy.movedim(0, -1).contiguous(), _visibility(frames, carried_by, parents, fps, level, sight, generator)


@cache
def modes(frames: int, fps: float, time: float) -> Tensor:
    """Basis (T, K), float64, of a smooth process of unit variance in T frames: its product with K independent standard
    normal numbers has a correlation of about exp(-|t|/time), time in s.
    """
    frame_times = torch.arange(frames, dtype=torch.float64) / fps
    values, vectors = torch.linalg.eigh(torch.exp(-(frame_times[:, None] - frame_times).abs() / time))
    values, vectors = values.flip(0), vectors.flip(1)
    num_modes = int((values.cumsum(0) < KEPT_VARIANCE * values.sum()).sum()) + 1
    process = vectors[:, :num_modes] * values[:num_modes].sqrt()
    return torch.nn.functional.normalize(process, dim=1)


def _carried_by(segments: Sequence[int], parents: Sequence[int]) -> Tensor:
    """Indicator (M, S): 1 where the segment is the marker's own or an ancestor of it."""
    carried = torch.eye(len(parents))
    for segment, parent in enumerate(parents):
        if parent >= segment:
            raise ValueError(f"segment {segment} precedes its parent {parent}")
        if parent >= 0:
            carried[segment] += carried[parent]
    return carried[list(segments)]


def _about_centroid(segments: Sequence[int]) -> Tensor:
    """Matrix (M, M) from marker positions to positions relative to the centroid of their segment's markers."""
    marker_segment = torch.as_tensor(segments)
    same_segment = (marker_segment[:, None] == marker_segment).double()
    return torch.eye(len(marker_segment), dtype=torch.float64) - same_segment / same_segment.sum(0)


def _line_of_sight(clips: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """(3, C, 1, 1), horizontal unit vectors."""
    angle = 2 * torch.pi * torch.rand(clips, generator=generator, device=like.device, dtype=like.dtype)
    return torch.stack([angle.cos(), torch.zeros_like(angle), angle.sin()])[..., None, None]


def _scale_depth(displacement: Tensor, sight: Tensor, ratio: float) -> Tensor:
    """Scale the component along the line of sight of displacements (3, C, ...) by `ratio`."""
    return displacement + (ratio - 1) * (displacement * sight).sum(0) * sight


def _visibility(
    frames: int,
    carried_by: Tensor,
    parents: Sequence[int],
    fps: float,
    level: NoiseLevel,
    like: Tensor,
    generator: torch.Generator,
) -> Tensor:
    clips, device = like.shape[1], like.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    visible = uniform(clips, frames, len(carried_by)) >= level.marker_missing
    limbs = carried_by[:, (torch.tensor(parents, device=device) >= 0) & carried_by.any(0)].T.bool()
    if not len(limbs):  # a single segment has no limbs
        return visible
    limb = limbs[torch.randint(len(limbs), (clips,), generator=generator, device=device)]
    center, half_length = frames * uniform(clips, 1), (MAX_GAP * fps / 2 * uniform(clips, 1)).clamp(min=0.5)
    occluded_frames = ((torch.arange(frames, device=device) + 0.5 - center).abs() <= half_length) & (
        uniform(clips, 1) < level.limb_missing
    )
    return visible & ~(occluded_frames[:, :, None] & limb[:, None, :])
