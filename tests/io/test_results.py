"""Artefacts: what is written is read back, and what is broken is named."""

from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import ArtifactError
from biopose_cli.io.artifact import read_fingerprint
from biopose_cli.io.results import LANDMARKS, Detection, Mesh, Refined


def make_mesh(frames: int = 4) -> Mesh:
    return Mesh(
        body_pose=np.ones((frames, 23, 3)),
        global_orient=np.zeros((frames, 3)),
        betas=np.arange(10),
        transl=np.zeros((frames, 3)),
        query_tokens=np.zeros((frames, 0, 0)),
        reprojection_px=np.zeros(frames),
        stature_m=1.7,
        stature_source="--height",
        warnings=("one", "two, with a comma"),
    )


def test_round_trip_keeps_every_field(tmp_path: Path) -> None:
    mesh = make_mesh()
    mesh.save(tmp_path / "mesh.npz", "print")
    again, fingerprint = Mesh.load(tmp_path / "mesh.npz")
    assert fingerprint == read_fingerprint(tmp_path / "mesh.npz") == "print"
    assert (again.stature_m, again.stature_source, again.warnings) == (
        1.7,
        "--height",
        ("one", "two, with a comma"),
    )
    np.testing.assert_array_equal(again.betas, np.arange(10, dtype=np.float32))
    assert again.body_pose.dtype == np.float32


def test_lengths_must_agree_between_fields() -> None:
    with pytest.raises(ValueError, match="transl"):
        Mesh(
            body_pose=np.zeros((4, 23, 3)),
            global_orient=np.zeros((4, 3)),
            betas=np.zeros(10),
            transl=np.zeros((5, 3)),
            query_tokens=np.zeros((4, 0, 0)),
            reprojection_px=np.zeros(4),
        )


def test_wrong_constant_length_is_refused() -> None:
    with pytest.raises(ValueError, match="body_pose"):
        Mesh(
            body_pose=np.zeros((4, 21, 3)),
            global_orient=np.zeros((4, 3)),
            betas=np.zeros(10),
            transl=np.zeros((4, 3)),
            query_tokens=np.zeros((4, 0, 0)),
            reprojection_px=np.zeros(4),
        )


@pytest.mark.parametrize("keep", [0, 10, 300, -1])
def test_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "mesh.npz"
    make_mesh().save(path, "print")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"mesh\.npz"):
        Mesh.load(path)
    assert read_fingerprint(path) is None


def test_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mesh.npz"
    make_mesh().save(path, "print")
    content = bytearray(path.read_bytes())
    where = content.index(np.float32(1).tobytes() * 8)  # inside body_pose
    content[where] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="corrupt"):
        Mesh.load(path)


def test_pickled_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mesh.npz"
    np.savez(path, _kind=np.array("mesh"), _fingerprint=np.array("x"), body_pose=np.array([{}], dtype=object))
    with pytest.raises(ArtifactError):
        Mesh.load(path)


def test_another_stages_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mesh.npz"
    make_mesh().save(path, "print")
    with pytest.raises(ArtifactError, match="stage 'mesh'"):
        Refined.load(path)


def test_detection_takes_its_documented_shapes() -> None:
    frames, people = 3, 2
    Detection(
        time=np.arange(frames) / 30,
        frame=np.arange(frames),
        image_size=[640, 480],
        box=np.zeros((frames, 4)),
        roi=np.zeros((frames, 4)),
        keypoints_2d=np.zeros((frames, LANDMARKS, 2)),
        confidence=np.zeros((frames, LANDMARKS)),
        landmarks_3d=np.zeros((frames, LANDMARKS, 3)),
        visible=np.ones(frames, bool),
        swapped=np.zeros(frames, bool),
        interpolated=np.zeros(frames, bool),
        people_box=np.zeros((people, frames, 4)),
        camera_matrix=np.eye(3),
        dist_coeffs=np.zeros(5),
    )
