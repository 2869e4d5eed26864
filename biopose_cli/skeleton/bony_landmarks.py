"""Dimensions of the generic skeleton: the size of each body, and the positions of its bony landmarks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from biopose_cli.skeleton.build import landmark_rows
from biopose_cli.skeleton.osim import vec3_to_array
from biopose_cli.typing import Array


class BonyLandmarks(NamedTuple):
    """The bony landmarks of the generic skeleton."""

    names: tuple[str, ...]  # asis_r, ...
    bodies: tuple[str, ...]  # the rigid body that carries each
    locations: Array  # (L, 3) m, in the frame of that body


def load_bony_landmarks() -> BonyLandmarks:
    """Landmarks of the skeleton's tables: middle line, right and left."""
    rows = landmark_rows()
    locations = np.array([[float(row[f"{axis}_m"]) for axis in "xyz"] for row in rows])
    return BonyLandmarks(tuple(row["landmark"] for row in rows), tuple(row["body"] for row in rows), locations)


def dimensions(model: Any) -> dict[str, Array]:
    """The size of each body, (3) m along the x, y, z of its frame, by name.

    It is the extent of all known points on the body: its origin, the joint frames fixed to it, its bony landmarks and
    the model's markers. So the femur's y is hip to knee, the radius's elbow to wrist; the hand and the toes reach to a
    marker on their tip. The patella has only its origin: its size is 0. Talus (0.05 m, ankle to subtalar joint) and
    ulna are smaller than the bone. As in Rajagopal's model, the torso's origin is at L5/S1: its y is from there to the
    neck.

    Parameters
    ----------
    model : the generic skeleton (`build_model`), not scaled: the landmarks are that skeleton's
    """
    bodies = model.getBodySet()
    points = {bodies.get(i).getName(): [np.zeros(3)] for i in range(bodies.getSize())}
    joints = model.getJointSet()
    for i in range(joints.getSize()):
        joint = joints.get(i)
        for frame in (joint.getParentFrame(), joint.getChildFrame()):
            body = frame.findBaseFrame().getName()
            if body in points:  # not the ground
                points[body].append(vec3_to_array(frame.findTransformInBaseFrame().p()))
    bony = load_bony_landmarks()
    for body, location in zip(bony.bodies, bony.locations, strict=True):
        points[body].append(location)
    for marker in model.getMarkerSet():
        points[marker.getParentFrame().findBaseFrame().getName()].append(vec3_to_array(marker.get_location()))
    return {body: np.ptp(positions, axis=0) for body, positions in points.items()}
