"""A stage's .npz: typed fields with checked shapes, a fingerprint, an atomic write, validation on read.

Frames of reference: *image* is px with the origin in the upper left corner (rotation metadata applied);
*camera* is OpenCV's (x right, y down, z forward, m); *ground* is OpenSim's (x forward, y up, z to the subject's
right, floor at y = 0, m).
T frames, P people, M virtual markers, D coordinates, B bodies.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from biopose_cli.errors import ArtifactError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

LANDMARKS = 33  # BlazePose's body landmarks
# coordinates, without the side
LEG_COORDINATES = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def _array_field(*shape: str | int, dtype: type = np.float32) -> Any:
    """A field of this shape; a letter stands for the same length throughout the artefact."""
    return field(metadata={"shape": shape, "dtype": dtype})


@dataclass(frozen=True)
class Artifact:
    """Result of a stage. Arrays are cast to their field's type and checked on construction."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for spec in fields(self):
            if "shape" not in spec.metadata:
                continue
            dtype = spec.metadata["dtype"]
            value = np.asarray(getattr(self, spec.name), dtype=None if dtype is str else dtype)
            wanted = spec.metadata["shape"]
            expected = tuple(
                lengths.setdefault(s, n) if isinstance(s, str) else s for s, n in zip(wanted, value.shape, strict=False)
            )
            if value.ndim != len(wanted) or value.shape != expected or (dtype is str and value.dtype.kind != "U"):
                raise ValueError(f"{self.name}.{spec.name}: {value.shape} {value.dtype}, not {wanted} {dtype.__name__}")
            object.__setattr__(self, spec.name, value)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write all fields and `fingerprint` (of their inputs) to `path`, atomically.

        Raises
        ------
        DiskFullError, OutputError
        """
        values = {spec.name: np.asarray(getattr(self, spec.name)) for spec in fields(self)}
        with atomic_write(path) as temporary:
            values |= {"_kind": np.array(self.name), "_fingerprint": np.array(fingerprint)}
            np.savez(temporary, allow_pickle=False, **values)

    @classmethod
    def load(cls, path: Path) -> tuple[Self, str]:
        """Read a file of `save`: the artefact and its fingerprint.

        Raises
        ------
        ArtifactError
            The file is missing, truncated, corrupt, or of another stage.
        """
        try:
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
                if stored["_kind"].item() != cls.name:
                    raise ValueError(f"it holds stage {stored['_kind'].item()!r}")
                values = {spec.name: _to_python(stored[spec.name], spec.type) for spec in fields(cls)}
                return cls(**values), str(stored["_fingerprint"].item())
        except _READ_ERRORS as error:
            reason = (
                "it is missing" if isinstance(error, FileNotFoundError) else f"it is corrupt or incomplete: {error}"
            )
            raise ArtifactError(
                f"cannot read the {cls.name} stage's file {path} ({reason})",
                "Run `biopose run` with the same --out: it will make the file again",
            ) from error


def read_fingerprint(path: Path) -> str | None:
    """Fingerprint in a stage's file, or None if it cannot be read."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            return str(stored["_fingerprint"].item())
    except _READ_ERRORS:
        return None


def _to_python(value: Array, annotation: Any) -> Any:
    """Convert 0-d and 1-d arrays back to scalars and tuples of text."""
    if annotation == "tuple[str, ...]":
        return tuple(str(item) for item in value)
    return value.item() if annotation in {"int", "float", "str", "bool"} else value


@dataclass(frozen=True)
class Tracks(Artifact):
    """Everybody in the clip, before one person is chosen. Where a person is not visible, values are NaN."""

    name: ClassVar[str] = "tracks"

    time: Array = _array_field("T", dtype=np.float64)  # s, true presentation times
    frame: Array = _array_field("T", dtype=np.int64)  # index in the file, from 0
    image_size: Array = _array_field(2, dtype=np.int64)  # width, height, px
    box: Array = _array_field("P", "T", 4)  # x0, y0, x1, y1, px: bounds of the visible landmarks
    roi: Array = _array_field("P", "T", 4)  # crop: centre x, y (px), side (px), rotation (rad, clockwise in the image)
    keypoints_2d: Array = _array_field("P", "T", LANDMARKS, 2)  # px
    confidence: Array = _array_field("P", "T", LANDMARKS)  # 0..1
    # m, predicted by the landmark network, hip-centred, camera axes
    landmarks_3d: Array = _array_field("P", "T", LANDMARKS, 3)
    visible: Array = _array_field("P", "T", dtype=np.bool_)  # measured in this frame
    swapped: Array = _array_field(
        "P", "T", dtype=np.bool_
    )  # left and right legs or arms were swapped here, and repaired
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detection(Artifact):
    """One person's keypoints from the first to the last visible frame, and the camera.

    A frame is usable if `visible | interpolated`; the others (a gap longer than the limit) are NaN.
    """

    name: ClassVar[str] = "detect"

    time: Array = _array_field("T", dtype=np.float64)
    frame: Array = _array_field("T", dtype=np.int64)
    image_size: Array = _array_field(2, dtype=np.int64)
    box: Array = _array_field("T", 4)
    roi: Array = _array_field("T", 4)
    keypoints_2d: Array = _array_field("T", LANDMARKS, 2)  # px, as in the image (lens distortion not removed)
    confidence: Array = _array_field("T", LANDMARKS)
    landmarks_3d: Array = _array_field("T", LANDMARKS, 3)
    visible: Array = _array_field("T", dtype=np.bool_)
    swapped: Array = _array_field("T", dtype=np.bool_)
    interpolated: Array = _array_field("T", dtype=np.bool_)  # interpolated across a short gap
    people_box: Array = _array_field("P", "T", 4)  # everybody's boxes, for the overlay; row k is person k + 1
    camera_matrix: Array = _array_field(3, 3, dtype=np.float64)  # px
    dist_coeffs: Array = _array_field(5, dtype=np.float64)  # OpenCV's k1, k2, p1, p2, k3
    focal_source: str = ""  # "metadata", "--focal", "--fov", "--intrinsics" or "default"
    person: int = 1  # 1-based, as drawn in the overlay
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mesh(Artifact):
    """The body in every frame of the detection, camera frame (SMPL's parameters)."""

    name: ClassVar[str] = "mesh"

    body_pose: Array = _array_field("T", 23, 3)  # axis-angle, rad
    global_orient: Array = _array_field("T", 3)  # axis-angle, rad
    betas: Array = _array_field(10)  # one shape per clip
    transl: Array = _array_field("T", 3)  # m
    query_tokens: Array = _array_field("T", "K", "d")  # K = 0 for the fitted body
    reprojection_px: Array = _array_field("T")  # confidence-weighted mean distance of the keypoints, px
    landmark_offsets: Array = field(  # offsets of this person's keypoints on the body, in standard deviations
        default_factory=lambda: np.zeros(0, np.float32), metadata={"shape": ("L",), "dtype": np.float32}
    )
    stature_m: float = 0.0  # of the fitted shape, standing
    stature_source: str = ""  # "--height", or the assumption
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refined(Mesh):
    """The mesh after refinement, with the loss per iteration, and the network's predicted standard deviations."""

    name: ClassVar[str] = "refine"

    loss: Array = field(
        default_factory=lambda: np.zeros(0, np.float32), metadata={"shape": ("I",), "dtype": np.float32}
    )
    # rad: standard deviations of the rotations of `body.kinematics.ACTIVE_JOINTS`, about each of their axes;
    # no rows without a network (`--mesh fit`, an imported track)
    rotation_std: Array = field(
        default_factory=lambda: np.zeros((0, 22, 3), np.float32),
        metadata={"shape": ("S", 22, 3), "dtype": np.float32},
    )


@dataclass(frozen=True)
class JointKinematics(Artifact):
    """Joint angles, the scaled skeleton and the virtual markers, ground frame."""

    name: ClassVar[str] = "neurik"

    time: Array = _array_field("T", dtype=np.float64)
    q: Array = _array_field("T", "D")  # rad and m; NaN in gaps that are too long
    coordinates: Array = _array_field("D", dtype=str)
    rotational: Array = _array_field("D", dtype=np.bool_)  # rad (True) or m
    scale: Array = _array_field("B", 3)  # per body, x y z in the body's frame
    bodies: Array = _array_field("B", dtype=str)
    markers: Array = _array_field("T", "M", 3)  # m
    marker_names: Array = _array_field("M", dtype=str)
    marker_residual: Array = _array_field("T", "M")  # m, distance from the model's marker
    valid: Array = _array_field("T", dtype=np.bool_)
    ground_from_camera: Array = _array_field(4, 4, dtype=np.float64)  # homogeneous: ground = matrix @ camera
    # rad and m: standard deviations of q, NaN also for coordinates that are not free; no rows where they are unknown
    q_std: Array = field(
        default_factory=lambda: np.zeros((0, 0), np.float32),
        metadata={"shape": ("S", "E"), "dtype": np.float32},
    )
    model_xml: str = ""  # the scaled .osim
    mass_kg: float = 0.0
    mass_source: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported(Artifact):
    """The files written for the user, to detect removed or changed ones."""

    name: ClassVar[str] = "export"

    files: Array = _array_field("F", dtype=str)  # names inside the clip's folder
    sha256: Array = _array_field("F", dtype=str)
    warnings: tuple[str, ...] = ()
