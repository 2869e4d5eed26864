"""What the fit sees of a detection: keypoints without lens distortion, how far each is trusted, and the 3D guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.body.kinematics import landmark_std
from biopose_cli.errors import PersonError
from biopose_cli.geometry.camera import undistort
from biopose_cli.io.results import Detection
from biopose_cli.typing import Array

_REFERENCE_RATE = 30.0  # frames/s: keypoint errors of frames closer than this repeat each other, and count once
_OUTSIDE_WEIGHT = 0.02  # weight of a keypoint beyond the image's border, which the network only extrapolates
_MIN_FRAMES = 3


@dataclass(frozen=True)
class Observations:
    """`time` (T) s; `keypoints` (T,33,2) px undistorted, with `confidence` (T,33), 0..1; `sigma` (T,33) px; `weight`
    (T,33), zero where nothing was seen; `frame_weight` (T), how much a frame counts; `landmarks_3d` (T,33,3) m, the
    network's 3D; `usable` (T), where keypoints are known, `measured` (T), where they are not interpolated;
    `camera_matrix` (3,3)."""

    time: Array
    keypoints: Array
    confidence: Array
    sigma: Array
    weight: Array
    frame_weight: Array
    landmarks_3d: Array
    usable: Array
    measured: Array
    camera_matrix: Array

    @property
    def time_to_measurement(self) -> Array:
        """(T) s: from each frame to the next in which the person was measured."""
        measured_time = self.time[self.measured]
        after = np.searchsorted(measured_time, self.time).clip(max=len(measured_time) - 1)
        nearest = np.stack([measured_time[after], measured_time[(after - 1).clip(min=0)]])
        return np.asarray(np.abs(nearest - self.time).min(axis=0))

    def select(self, frames: slice | Array) -> Observations:
        """Return the same of these frames only."""
        return Observations(
            self.time[frames],
            self.keypoints[frames],
            self.confidence[frames],
            self.sigma[frames],
            self.weight[frames],
            self.frame_weight[frames],
            self.landmarks_3d[frames],
            self.usable[frames],
            self.measured[frames],
            self.camera_matrix,
        )


def build_observations(detection: Detection) -> Observations:
    """Weigh a detection's keypoints.

    Raises
    ------
    PersonError
        Keypoints were seen in fewer than three frames.
    """
    finite = np.isfinite(detection.keypoints_2d).all((1, 2)) & np.isfinite(detection.roi).all(1)
    usable = (detection.visible | detection.interpolated) & finite
    measured = usable & ~detection.interpolated
    if measured.sum() < _MIN_FRAMES:
        raise PersonError(
            f"the person's keypoints are seen in only {int(measured.sum())} frames",
            "Choose a longer part of the video with --start and --end, or another --person",
        )
    raw = np.where(usable[:, None, None], detection.keypoints_2d, 0.0).astype(np.float64)
    undistorted = undistort(raw, detection.camera_matrix, detection.dist_coeffs)
    valid = np.asarray(np.isfinite(undistorted).all(-1))
    crop_size = np.where(usable, detection.roi[:, 2], 1.0).astype(np.float64)
    in_image = ((raw >= 0) & (raw <= detection.image_size)).all(-1)
    confidence = valid * np.clip(np.nan_to_num(detection.confidence.astype(np.float64)), 0, 1)
    time = detection.time.astype(np.float64)
    frame_weight = np.minimum(1.0, _REFERENCE_RATE * np.gradient(time))
    visibility_weight = usable * np.where(detection.interpolated, 0.25, 1.0)
    return Observations(
        time=time,
        keypoints=np.where(valid[..., None], undistorted, raw),
        confidence=confidence,
        sigma=landmark_std() * crop_size[:, None] / 256,
        weight=(visibility_weight * frame_weight)[:, None] * confidence**2 * np.where(in_image, 1.0, _OUTSIDE_WEIGHT),
        frame_weight=frame_weight,
        landmarks_3d=np.nan_to_num(detection.landmarks_3d.astype(np.float64)),
        usable=usable,
        measured=measured,
        camera_matrix=detection.camera_matrix.astype(np.float64),
    )
