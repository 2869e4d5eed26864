"""The results of the stages, one class each; `stages/NAME.npz` holds their fields.

Frames of reference: *image* is px with the origin in the upper left corner (rotation metadata applied);
*camera* is OpenCV's (x right, y down, z forward, m); *ground* is OpenSim's (x forward, y up, z to the subject's
right, floor at y = 0, m).
T frames, P people, M virtual markers, D coordinates, B bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from biopose_cli.io.artifact import Artifact, array_field, optional_array_field
from biopose_cli.typing import Array

if TYPE_CHECKING:
    import pandas as pd

LANDMARKS = 33  # BlazePose's body landmarks
# coordinates, without the side
LEG_COORDINATES = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")


@dataclass(frozen=True)
class Tracks(Artifact):
    """Everybody in the clip, before one person is chosen: the fields of `Detection`, per person.

    Absent frames hold NaN and `visible` False.
    """

    name: ClassVar[str] = "tracks"

    time: Array = array_field("T", dtype=np.float64)
    frame: Array = array_field("T", dtype=np.int64)
    image_size: Array = array_field(2, dtype=np.int64)
    box: Array = array_field("P", "T", 4)
    roi: Array = array_field("P", "T", 4)
    keypoints_2d: Array = array_field("P", "T", LANDMARKS, 2)
    confidence: Array = array_field("P", "T", LANDMARKS)
    landmarks_3d: Array = array_field("P", "T", LANDMARKS, 3)
    visible: Array = array_field("P", "T", dtype=np.bool_)
    swapped: Array = array_field("P", "T", dtype=np.bool_)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detection(Artifact):
    """One person's keypoints from the first to the last visible frame, and the camera.

    A frame is `usable` when it is `visible` or `interpolated`; the others (a gap longer than the limit) hold NaN.

    Attributes
    ----------
    time
        (T) s, true presentation times.
    frame
        (T) index of the frame in the file, from 0.
    image_size
        (2) width and height of the upright image, px.
    box
        (T, 4) x0, y0, x1, y1, px: bounds of the visible landmarks.
    roi
        (T, 4) the network's crop: centre x and y (px), side (px), rotation (rad, clockwise in the image).
    keypoints_2d
        (T, 33, 2) BlazePose's landmarks, px, as in the image (lens distortion not removed).
    confidence
        (T, 33) of the landmarks, 0 to 1.
    landmarks_3d
        (T, 33, 3) m, the network's own estimate: camera axes, origin between the hips.
    visible
        (T) bool, measured in this frame.
    swapped
        (T) bool, left and right legs or arms were exchanged by the network, and repaired.
    interpolated
        (T) bool, filled across a short gap.
    people_box
        (P, T, 4) everybody's boxes, for the overlay; row k is person k + 1.
    camera_matrix
        (3, 3) px.
    dist_coeffs
        (5) OpenCV's k1, k2, p1, p2, k3.
    focal_source
        "metadata", "--focal", "--fov", "--intrinsics" or "default".
    person
        The person's number, from 1, as drawn in the overlay.
    warnings
        A line each.
    """

    name: ClassVar[str] = "detect"

    time: Array = array_field("T", dtype=np.float64)
    frame: Array = array_field("T", dtype=np.int64)
    image_size: Array = array_field(2, dtype=np.int64)
    box: Array = array_field("T", 4)
    roi: Array = array_field("T", 4)
    keypoints_2d: Array = array_field("T", LANDMARKS, 2)
    confidence: Array = array_field("T", LANDMARKS)
    landmarks_3d: Array = array_field("T", LANDMARKS, 3)
    visible: Array = array_field("T", dtype=np.bool_)
    swapped: Array = array_field("T", dtype=np.bool_)
    interpolated: Array = array_field("T", dtype=np.bool_)
    people_box: Array = array_field("P", "T", 4)
    camera_matrix: Array = array_field(3, 3, dtype=np.float64)
    dist_coeffs: Array = array_field(5, dtype=np.float64)
    focal_source: str = ""
    person: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> Array:
        """(T) bool: the frames that hold the person's keypoints, measured or filled across a short gap."""
        return np.asarray(self.visible | self.interpolated)


@dataclass(frozen=True)
class Mesh(Artifact):
    """The body in every frame of the detection: SMPL's parameters, camera frame.

    Attributes
    ----------
    body_pose
        (T, 23, 3) axis-angle, rad.
    global_orient
        (T, 3) axis-angle, rad.
    betas
        (10) one shape per clip.
    transl
        (T, 3) m.
    query_tokens
        (T, K, d); K = 0 for the fitted body.
    reprojection_px
        (T) confidence-weighted mean distance of the keypoints from the body's, px.
    landmark_offsets
        (L) how this person's keypoints sit on the body, in standard deviations.
    stature_m
        Of the fitted shape, standing, m.
    stature_source
        "--height", or that it was assumed.
    warnings
        A line each.
    """

    name: ClassVar[str] = "mesh"

    body_pose: Array = array_field("T", 23, 3)
    global_orient: Array = array_field("T", 3)
    betas: Array = array_field(10)
    transl: Array = array_field("T", 3)
    query_tokens: Array = array_field("T", "K", "d")
    reprojection_px: Array = array_field("T")
    landmark_offsets: Array = optional_array_field("L")
    stature_m: float = 0.0
    stature_source: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refined(Mesh):
    """The mesh after refinement, with the loss per iteration, and how wrong its rotations may be.

    Attributes
    ----------
    loss
        (I) the energy at the start and after every iteration.
    rotation_std
        (T, 22, 3) rad: standard deviations of the rotations of `body.kinematics.ACTIVE_JOINTS`, about the axes of each
        joint. No rows where no network predicted them (`--mesh fit`, an imported track).
    """

    name: ClassVar[str] = "refine"

    loss: Array = optional_array_field("I")
    rotation_std: Array = optional_array_field("S", 22, 3)


@dataclass(frozen=True)
class JointKinematics(Artifact):
    """Joint angles, the scaled skeleton and the virtual markers, ground frame.

    Attributes
    ----------
    time
        (T) s.
    q
        (T, D) rad and m; NaN where the person was not seen for too long.
    coordinates
        (D) names.
    rotational
        (D) bool: the coordinate is in rad and a motion file holds it in degrees.
    scale
        (B, 3) scale factors per body, x, y and z in the body's frame.
    bodies
        (B) names.
    markers
        (T, M, 3) m.
    marker_names
        (M) names.
    marker_residual
        (T, M) m, distance from the model's marker.
    valid
        (T) bool, frames with angles.
    ground_from_camera
        (4, 4) homogeneous: ground = matrix @ camera.
    q_std
        (T, D) standard deviations of `q`, rad and m; NaN also for coordinates that are not free. No rows where they
        are not known.
    model_xml
        The scaled .osim.
    mass_kg
        Of the model, kg.
    mass_source
        "--mass", or what it was estimated from.
    warnings
        A line each.
    """

    name: ClassVar[str] = "neurik"

    time: Array = array_field("T", dtype=np.float64)
    q: Array = array_field("T", "D")
    coordinates: Array = array_field("D", dtype=str)
    rotational: Array = array_field("D", dtype=np.bool_)
    scale: Array = array_field("B", 3)
    bodies: Array = array_field("B", dtype=str)
    markers: Array = array_field("T", "M", 3)
    marker_names: Array = array_field("M", dtype=str)
    marker_residual: Array = array_field("T", "M")
    valid: Array = array_field("T", dtype=np.bool_)
    ground_from_camera: Array = array_field(4, 4, dtype=np.float64)
    q_std: Array = optional_array_field("S", "E")
    model_xml: str = ""
    mass_kg: float = 0.0
    mass_source: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def angles_deg(self) -> dict[str, Array]:
        """(T) degrees by the name of each rotational coordinate; NaN in frames without angles."""
        q = np.where(self.valid[:, None], self.q, np.nan).astype(np.float64)
        return {str(self.coordinates[i]): np.rad2deg(q[:, i]) for i in np.flatnonzero(self.rotational)}

    @property
    def std_deg(self) -> dict[str, Array]:
        """(T) degrees by name: the standard deviations of those of `angles_deg` that have one.

        None for angles that the model locks, that follow another or that no marker shows; empty where nothing
        predicted them (`mesh="fit"`, `ik="opensim"`, imported tracks, markers). NaN in frames without angles.
        """
        if not len(self.q_std):
            return {}
        has_std = self.rotational & np.isfinite(self.q_std[self.valid]).all(axis=0)
        std = self.q_std.astype(np.float64)
        return {str(self.coordinates[i]): np.rad2deg(std[:, i]) for i in np.flatnonzero(has_std)}

    @property
    def file_values(self) -> Array:
        """(T, D) as motion files hold `q`: degrees and metres; coupled coordinates (the patella's) stay in rad."""
        q = self.q.astype(np.float64)
        return np.where(self.rotational, np.rad2deg(q), q)

    def to_dataframe(self) -> pd.DataFrame:
        """All coordinates as one tidy table, a row per coordinate and frame, coordinate by coordinate.

        Returns
        -------
        pandas.DataFrame
            `time` (s), `coordinate` (its name), `value` in `unit` ("deg", "m", or "rad" for the coupled coordinates
            of the patella), and `std`, the value's standard deviation in the same unit. `value` is NaN in frames
            without angles, `std` also where it is not known.
        """
        from biopose_cli.io.tables import tidy_table

        return tidy_table(self)


@dataclass(frozen=True)
class Exported(Artifact):
    """The files written for the user: (F) names inside the clip's folder and SHA-256, to notice a change."""

    name: ClassVar[str] = "export"

    files: Array = array_field("F", dtype=str)
    sha256: Array = array_field("F", dtype=str)
    warnings: tuple[str, ...] = ()
