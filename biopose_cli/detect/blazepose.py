"""BlazePose's two networks through LiteRT: where people are, and 33 landmarks of one person.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose Tracking"; the tensors' meaning is that of MediaPipe's
published `pose_landmark` graphs and Google's model card.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from biopose_cli.body.blazepose import SIDES
from biopose_cli.detect import ssd
from biopose_cli.geometry import roi as geometry
from biopose_cli.io.results import LANDMARKS
from biopose_cli.io.stderr import quiet
from biopose_cli.typing import Array

HEATMAP = 64  # cells, side of the heat maps over the crop
CELL = geometry.CROP / HEATMAP
WINDOW = 3  # cells on each side of a landmark that its heat map may move it by
PEAK = 0.5  # lowest heat that moves a landmark
APART = 12.0  # px of the crop: further apart than this, two looks at one landmark are not averaged
LIMBS = (  # what a network exchanges as a whole, left and right: legs, arms, trunk with the face
    np.array([[25, 27, 29, 31], [26, 28, 30, 32]]),
    np.array([[13, 15, 17, 19, 21], [14, 16, 18, 20, 22]]),
    np.array([[11, 23, 7, 1, 2, 3, 9], [12, 24, 8, 4, 5, 6, 10]]),
)


class Network:
    """One LiteRT interpreter with one thread. An instance must not be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        with quiet():
            self._interpreter = Interpreter(str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        # in the files the outputs are named Identity, Identity_1, ...: the order of their meaning
        outputs = sorted(self._interpreter.get_output_details(), key=lambda detail: str(detail["name"]))
        self._outputs = [detail["index"] for detail in outputs]

    def __call__(self, image: Array) -> list[Array]:
        """The outputs, without the batch axis, for an input image (S, S, 3) float32."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


class Detector:
    """Finds people in an image."""

    def __init__(self, path: Path) -> None:
        self._network = Network(path)

    def __call__(self, image: Array, threshold: float = 0.5) -> tuple[Array, Array]:
        """People in an image (H, W, 3) uint8: their ROIs (N, 4) px and scores (N,), best first."""
        height, width = image.shape[:2]
        scale = ssd.INPUT / max(height, width)
        inside = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (ssd.INPUT - inside[0]) // 2, (ssd.INPUT - inside[1]) // 2
        square = np.full((ssd.INPUT, ssd.INPUT, 3), -1, np.float32)
        small = cv2.resize(image, inside, interpolation=cv2.INTER_AREA)
        square[top : top + inside[1], left : left + inside[0]] = small.astype(np.float32) / 127.5 - 1
        boxes, logits = self._network(square)
        found, scores = ssd.suppress(*ssd.decode(boxes, logits[:, 0], threshold))
        points = (found[:, 4:].reshape(-1, 4, 2) * ssd.INPUT - (left, top)) * (
            width / inside[0],
            height / inside[1],
        )
        rois = [geometry.around(centre, rim) for centre, rim in points[:, :2]]
        return np.array(rois).reshape(-1, 4), scores


@dataclass(frozen=True)
class Look:
    """What the landmark network says of one crop, in the crop's frame."""

    score: float  # 0..1, that there is a person
    points: Array  # (33, 2) px
    circle: Array  # (2, 2) px: mid-hip, and the top of the circle around the body
    confidence: Array  # (33,) 0..1
    peak: Array  # (33,) 0..1, highest heat near the point
    world: Array  # (33, 3) m, hip-centred

    def mirrored(self) -> Self:
        """The same of the mirrored crop: what has been seen there is on the other side here."""
        return type(self)(
            score=self.score,
            points=self.points[SIDES] * (-1, 1) + (geometry.CROP, 0),
            circle=self.circle * (-1, 1) + (geometry.CROP, 0),
            confidence=self.confidence[SIDES],
            peak=self.peak[SIDES],
            world=self.world[SIDES] * (-1, 1, 1),
        )

    def exchanged(self, limbs: Array) -> Self:
        """With left and right of these landmarks exchanged."""
        order = np.arange(LANDMARKS)
        order[limbs] = SIDES[limbs]
        return type(self)(
            self.score,
            self.points[order],
            self.circle,
            self.confidence[order],
            self.peak[order],
            self.world[order],
        )


@dataclass(frozen=True)
class Pose:
    """One person in one frame."""

    score: float  # 0..1, that there is a person in the ROI
    roi: Array  # (4,) where the network looked
    keypoints: Array  # (33, 2) px of the image
    confidence: Array  # (33,) 0..1: in the image, not hidden, and where two looks agree that it is
    world: Array  # (33, 3) m, hip-centred, camera axes (x right, y down, z away from the camera)
    next_roi: Array  # (4,) where the person is, from the network's two auxiliary points
    doubtful: Array  # (3,) bool, legs, arms, trunk: two looks do not agree which side is the left one


class Landmarker:
    """Finds the landmarks of the one person in a ROI, by a look at the crop and one at its mirror image.

    The two looks run in parallel. Their mean jitters a quarter less than one look.
    """

    def __init__(self, path: Path) -> None:
        self._network = Network(path)
        self._second = Network(path)
        self._pool = ThreadPoolExecutor(1)

    def __call__(self, image: Array, roi: Array, hidden: Array | None = None) -> Pose:
        """The person in the ROI (4,) of an image (H, W, 3) uint8; the score tells whether there is one.

        Pixels of the crop in the mask `hidden` (256, 256) are painted over with the mean of the others.
        """
        pixels = geometry.cut(image, roi)
        if hidden is not None and not hidden.all():
            pixels[hidden] = pixels[~hidden].mean(axis=0)
        crop = pixels.astype(np.float32) / 255
        mirror = self._pool.submit(lambda: look(self._second, np.ascontiguousarray(crop[:, ::-1])))
        return merged(look(self._network, crop), mirror.result().mirrored(), roi)


def look(network: Network, crop: Array) -> Look:
    """Run the landmark network on a crop (256, 256, 3), float32 in 0..1."""
    return read(network(crop))


def read(outputs: list[Array]) -> Look:
    """What the landmark network says: landmarks (195), score, a mask, heat maps (64, 64, 39), places in space (117)."""
    landmarks, score, _, heat, world = outputs
    rows = landmarks.reshape(-1, 5)
    points, peak = refined(rows[:LANDMARKS, :2], _sigmoid(heat[..., :LANDMARKS]))
    return Look(
        score=float(score[0]),
        points=points,
        circle=rows[33:35, :2],
        confidence=_sigmoid(rows[:LANDMARKS, 3:]).prod(axis=1),
        peak=peak,
        world=world.reshape(-1, 3)[:LANDMARKS],
    )


def refined(points: Array, heat: Array) -> tuple[Array, Array]:
    """Landmarks (N, 2), px of the crop, moved to the mean of their heat near them where it is warm enough.

    `heat` is (64, 64, N); cell i stands for the coordinate 4 i px (found by comparing looks at mirrored crops).
    Returns the points and the highest heat near each, (N,).
    """
    moved, peak = points.copy(), np.zeros(len(points), np.float32)
    for k, (x, y) in enumerate(np.floor(points / CELL).astype(int)):
        rows = slice(max(0, y - WINDOW), max(0, y + WINDOW + 1))
        columns = slice(max(0, x - WINDOW), max(0, x + WINDOW + 1))
        patch = heat[rows, columns, k]
        peak[k] = patch.max(initial=0)
        if peak[k] >= PEAK:
            weight = CELL / patch.sum()
            moved[k, 0] = (np.arange(HEATMAP)[columns] * patch.sum(axis=0)).sum() * weight
            moved[k, 1] = (np.arange(HEATMAP)[rows] * patch.sum(axis=1)).sum() * weight
    return moved, peak


def merged(first: Look, second: Look, roi: Array) -> Pose:
    """Two looks at one crop as one pose in the image and camera frames.

    Where the second look has a person's legs, arms or trunk the other way round, it is turned to agree with the first.
    """
    doubtful = []
    for limbs in (pair.ravel() for pair in LIMBS):
        turned = second.exchanged(limbs)
        doubtful.append(_distance(first, turned, limbs) + APART < _distance(first, second, limbs))
        second = turned if doubtful[-1] else second
    apart = np.linalg.norm(first.points - second.points, axis=1)
    weights = np.stack([first.peak, second.peak]) + 1e-3
    weights[:, apart > APART] = weights[:, apart > APART] == weights[:, apart > APART].max(axis=0)
    share = (weights[1] / weights.sum(axis=0))[:, None]
    points = first.points * (1 - share) + second.points * share
    confidence = (
        (first.confidence + second.confidence)
        / 2
        * (first.peak + second.peak)
        / 2
        / (1 + (apart / APART) ** 2)
    )
    centre, rim = geometry.to_image((first.circle + second.circle) / 2, roi)
    return Pose(
        score=min(first.score, second.score),
        roi=roi,
        keypoints=geometry.to_image(points, roi),
        confidence=confidence,
        world=geometry.to_camera((first.world + second.world) / 2, roi),
        next_roi=geometry.around(centre, rim),
        doubtful=np.array(doubtful),
    )


def _distance(first: Look, second: Look, limbs: Array) -> float:
    return float(np.linalg.norm(first.points[limbs] - second.points[limbs], axis=1).mean())


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
