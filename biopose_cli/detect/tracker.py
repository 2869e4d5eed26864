"""Tracking of several people, frame by frame: a tracklet is a stretch in which the identity of a person is certain.

Every live tracklet has its own ROI, moved by its own motion, with the pixels of other people masked. A pose is accepted
only if it lies where the motion predicts and has the person's colours. If two tracklets follow one body, the one that
fits less well pauses. Tracklets are linked later, over the whole clip (`identity`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from biopose_cli.detect.blazepose import Detector, Landmarker, PersonPose
from biopose_cli.geometry import roi as geometry
from biopose_cli.typing import Array

MIN_SCORE = 0.5  # lowest score of a pose
MIN_NEW_CONFIDENCE = 0.3  # lowest mean confidence of a new person's trunk and thighs
MAX_SAME_BODY_DISTANCE = 0.05  # mean landmark distance over the ROI's side below which two poses are of one body
MAX_JUMP = 0.15  # largest distance of the mid-hip from its prediction, over the ROI's side
MAX_RESIZE = 1.5  # largest change of the ROI's side from one measurement to the next
MAX_COLOR_DISTANCE = 28.0  # largest distance of a body's colours from the tracklet's (Lab units, see `body_colors`)
MAX_MISSING_TIME = 0.3  # s, for which a tracklet waits for its person before it ends
SEARCH_EVERY = 2  # frames between searches for new people, each in one tile of the image
TRUNK = np.array([11, 12, 23, 24, 25, 26])


@dataclass
class Tracklet:
    """A stretch in which one person is tracked with certainty.

    Row i of the lists belongs to the i-th measured frame.
    """

    frames: list[int] = field(default_factory=list)  # positions in the sequence of frames
    poses: list[PersonPose] = field(default_factory=list)
    appearances: list[Array] = field(default_factory=list)  # colours of the body
    mean_appearance: Array = field(default_factory=lambda: np.zeros(12))  # running mean
    roi: Array = field(default_factory=lambda: np.zeros(4))  # of the next frame
    velocity: Array = field(default_factory=lambda: np.zeros(2))  # px per frame
    last_time: float = 0.0  # s, of the last measurement

    def update(self, position: int, time: float, pose: PersonPose, appearance: Array) -> None:
        """Add a measurement, and move the ROI: smoothed, since a steady ROI gives steady landmarks."""
        if self.frames:
            weight = 1 / min(len(self.frames) + 1, 20)
            self.mean_appearance = self.mean_appearance * (1 - weight) + appearance * weight
            error = pose.next_roi[:2] - self.roi[:2]
            self.velocity = self.velocity + error / 8
            rotation_change = np.angle(np.exp(1j * (pose.next_roi[3] - self.roi[3])))
            side = self.roi[2] + (pose.next_roi[2] - self.roi[2]) / 4
            self.roi = np.array([*(self.roi[:2] + error / 2 + self.velocity), side, self.roi[3] + rotation_change / 2])
        else:
            self.mean_appearance, self.roi = appearance, pose.next_roi
        self.frames.append(position)
        self.poses.append(pose)
        self.appearances.append(appearance)
        self.last_time = time

    def mark_missed(self) -> None:
        """Without a measurement in this frame, move on as before, more and more slowly."""
        self.velocity = self.velocity * 0.9
        self.roi = np.array([*(self.roi[:2] + self.velocity), *self.roi[2:]])

    def match_cost(self, pose: PersonPose, appearance: Array) -> float:
        """Cost of assigning a pose to this person: 0 is a perfect match, above 1 is none."""
        distance = float(np.hypot(*(pose.next_roi[:2] - self.roi[:2]))) / self.roi[2]
        resize = abs(np.log(pose.next_roi[2] / self.roi[2]))
        return float(
            max(
                distance / MAX_JUMP,
                resize / np.log(MAX_RESIZE),
                appearance_distance(appearance, self.mean_appearance) / MAX_COLOR_DISTANCE,
            )
        )


class Tracker:
    """Call `step` with the frames in order; `tracklets` then holds everybody found."""

    def __init__(self, detector: Detector, landmarker: Landmarker) -> None:
        self._detector, self._landmarker = detector, landmarker
        self._live: list[Tracklet] = []
        self._tile_index = 0
        self.tracklets: list[Tracklet] = []

    def step(self, position: int, time: float, image: Array) -> None:
        """Track everybody into the frame at `position` of the sequence: `time` s, `image` (H, W, 3) uint8."""
        measurements = [(track, *self._measure(image, track)) for track in self._live]
        candidates = sorted(
            (
                (track.match_cost(pose, appearance), k)
                for k, (track, pose, appearance) in enumerate(measurements)
                if pose.score >= MIN_SCORE
            ),
        )
        accepted: list[PersonPose] = []
        for cost, k in candidates:
            track, pose, appearance = measurements[k]
            if cost <= 1 and not any(same_body(pose, other) for other in accepted):
                accepted.append(pose)
                track.update(position, time, pose, appearance)
        for track in self._live:
            if track.frames[-1] != position:
                track.mark_missed()
        self._live = [track for track in self._live if time - track.last_time <= MAX_MISSING_TIME]
        for pose in self._newcomers(position, image, accepted):
            track = Tracklet()
            track.update(position, time, pose, body_colors(image, pose))
            self._live.append(track)
            self.tracklets.append(track)

    def _measure(self, image: Array, track: Tracklet) -> tuple[PersonPose, Array]:
        others = [other.poses[-1] for other in self._live if other is not track]
        pose = self._landmarker(image, track.roi, others_mask(track, others))
        return pose, body_colors(image, pose)

    def _newcomers(self, position: int, image: Array, known_poses: list[PersonPose]) -> list[PersonPose]:
        """People in the image that are not among the `known_poses`, each confirmed by a second prediction."""
        if self._live and position % SEARCH_EVERY:
            return []
        new: list[PersonPose] = []
        tiles = search_tiles(*image.shape[:2])
        chosen = tiles if position == 0 else [tiles[self._tile_index % len(tiles)]]
        self._tile_index += 1
        for left, top, right, bottom in chosen:
            rois, _ = self._detector(image[top:bottom, left:right])
            for roi in np.add(rois, (left, top, 0, 0)):
                if any(
                    np.hypot(*(roi[:2] - pose.next_roi[:2])) < 0.15 * pose.next_roi[2] for pose in known_poses + new
                ):
                    continue
                first = self._landmarker(image, roi)
                if first.score < MIN_SCORE:
                    continue
                second = self._landmarker(image, first.next_roi)
                confirmed = second.score >= MIN_SCORE and second.confidence[TRUNK].mean() >= MIN_NEW_CONFIDENCE
                if confirmed and same_body(first, second) and not any(same_body(second, p) for p in known_poses + new):
                    new.append(second)
        return new


def others_mask(track: Tracklet, others: list[PersonPose]) -> Array | None:
    """Pixels of the crop (256, 256) bool that belong to other people and not to this one; None if there are none."""
    mask = np.zeros((geometry.CROP_SIZE, geometry.CROP_SIZE), np.uint8)
    for other in others:
        paint(mask, geometry.to_crop(other.keypoints, track.roi), other.next_roi[2] / track.roi[2], 255)
    if not mask.any():
        return None
    own_points = track.poses[-1].keypoints + track.velocity
    paint(mask, geometry.to_crop(own_points, track.roi), 1.3, 0)
    return mask > 0


def paint(mask: Array, points: Array, size: float, value: int) -> None:
    """Fill a body's outline in the mask: thick limbs, the trunk, the head. `size` is its ROI's side over the crop's."""
    points = np.clip(points, -1000, 1000).astype(np.int32)
    width = max(1, round(14 * size))
    for chain in (
        (11, 13, 15, 19),
        (12, 14, 16, 20),
        (23, 25, 27, 31),
        (24, 26, 28, 32),
        (11, 12, 24, 23, 11),
    ):
        cv2.polylines(mask, [points[list(chain)]], False, value, width)
    cv2.fillPoly(mask, [points[[11, 12, 24, 23]]], value)
    ears = points[[7, 8]].mean(axis=0).astype(int)
    cv2.line(mask, points[[11, 12]].mean(axis=0).astype(int).tolist(), ears.tolist(), value, width)
    cv2.circle(mask, ears.tolist(), width, value, -1)


def search_tiles(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Tiles to search for people, x0, y0, x1, y1: the whole image, then overlapping tiles of 0.6 of its longer side.

    Three tiles in a row cover a long image, two by two one that is closer to a square. Tiles enlarge small people in
    the detector's 224 px.
    """
    size = round(0.6 * max(height, width))
    steps = (0.0, 0.5, 1.0) if min(height, width) <= size else (0.0, 1.0)
    lefts = {round(max(0, width - size) * step) for step in steps}
    tops = {round(max(0, height - size) * step) for step in steps}
    tiles = [(x, y, min(x + size, width), min(y + size, height)) for y in sorted(tops) for x in sorted(lefts)]
    return [(0, 0, width, height), *tiles]


def same_body(first: PersonPose, second: PersonPose) -> bool:
    """Whether two poses are of the same body, because their landmarks coincide."""
    weights = first.confidence * second.confidence + 1e-3
    distance = np.linalg.norm(first.keypoints - second.keypoints, axis=1)
    limit = MAX_SAME_BODY_DISTANCE * min(first.next_roi[2], second.next_roi[2])
    return bool(np.average(distance, weights=weights) < limit)


def body_colors(image: Array, pose: PersonPose) -> Array:
    """Mean colour (12,) of upper trunk, lower trunk, thighs and shanks: Lab in 0..255, lightness halved."""
    left, right = pose.keypoints[[11, 23, 25, 27]], pose.keypoints[[12, 24, 26, 28]]
    lateral, along = np.linspace(0.2, 0.8, 6)[:, None, None], np.linspace(0.1, 0.45, 6)[None, :, None]
    upper, lower = left[0] + (right[0] - left[0]) * lateral, left[1] + (right[1] - left[1]) * lateral
    trunk = [upper + (lower - upper) * along, upper + (lower - upper) * (along + 0.45)]
    length = np.linspace(0.2, 0.8, 18)[:, None]
    limbs = [np.stack([side[k] + (side[k + 1] - side[k]) * length for side in (left, right)]) for k in (1, 2)]
    points = np.stack([part.reshape(36, 2) for part in trunk + limbs])
    height, width = image.shape[:2]
    x, y = (np.clip(points[..., i], 0, n - 1).astype(int) for i, n in ((0, width), (1, height)))
    lab = cv2.cvtColor(np.ascontiguousarray(image[y, x]), cv2.COLOR_RGB2LAB).astype(np.float64)
    return np.asarray((lab.mean(axis=1) * (0.5, 1, 1)).ravel())


def appearance_distance(first: Array, second: Array) -> float:
    """Distance of two bodies' colours: root mean square over the four parts."""
    return float(np.sqrt(((first - second) ** 2).sum() / 4))
