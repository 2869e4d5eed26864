"""BlazePose's two networks in LiteRT: the person detector, and the 33 landmarks of one person.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose Tracking"; the meaning of the tensors is that of
MediaPipe's published `pose_landmark` graphs and Google's model card.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.detect import ssd
from biopose_cli.geometry import roi as geometry
from biopose_cli.io.results import LANDMARKS
from biopose_cli.io.stderr import silence_stderr
from biopose_cli.typing import Array

HEATMAP_SIZE = 64  # cells, side of the heat maps over the crop
HEATMAP_STRIDE = geometry.CROP_SIZE / HEATMAP_SIZE
HEATMAP_WINDOW = 3  # cells on each side of a landmark within which its heat map may move it
MIN_HEATMAP_PEAK = 0.5  # lowest peak that moves a landmark
MAX_DISAGREEMENT = 12.0  # px of the crop: predictions further apart than this are not averaged
LIMBS = (  # landmarks that a network swaps together, left and right: legs, arms, trunk with the face
    np.array([[25, 27, 29, 31], [26, 28, 30, 32]]),
    np.array([[13, 15, 17, 19, 21], [14, 16, 18, 20, 22]]),
    np.array([[11, 23, 7, 1, 2, 3, 9], [12, 24, 8, 4, 5, 6, 10]]),
)


class LiteRTModel:
    """One LiteRT interpreter with one thread. An instance must not be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        with silence_stderr():
            self._interpreter = Interpreter(str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        # in the files the outputs are named Identity, Identity_1, ...: this is the order of their meaning
        outputs = sorted(self._interpreter.get_output_details(), key=lambda detail: str(detail["name"]))
        self._outputs = [detail["index"] for detail in outputs]

    def __call__(self, image: Array) -> list[Array]:
        """Outputs without the batch axis, for an input image (S, S, 3) float32."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


class Detector:
    """Detects people in an image."""

    def __init__(self, path: Path) -> None:
        self._model = LiteRTModel(path)

    def __call__(self, image: Array, threshold: float = 0.5) -> tuple[Array, Array]:
        """ROIs (N, 4) px and scores (N,), best first, of the people in an image (H, W, 3) uint8."""
        height, width = image.shape[:2]
        scale = ssd.INPUT_SIZE / max(height, width)
        scaled_size = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (ssd.INPUT_SIZE - scaled_size[0]) // 2, (ssd.INPUT_SIZE - scaled_size[1]) // 2
        square = np.full((ssd.INPUT_SIZE, ssd.INPUT_SIZE, 3), -1, np.float32)
        small = cv2.resize(image, scaled_size, interpolation=cv2.INTER_AREA)
        square[top : top + scaled_size[1], left : left + scaled_size[0]] = small.astype(np.float32) / 127.5 - 1
        boxes, logits = self._model(square)
        detections, scores = ssd.weighted_nms(*ssd.decode_boxes(boxes, logits[:, 0], threshold))
        points = (detections[:, 4:].reshape(-1, 4, 2) * ssd.INPUT_SIZE - (left, top)) * (
            width / scaled_size[0],
            height / scaled_size[1],
        )
        rois = [geometry.roi_from_circle(center, circle_top) for center, circle_top in points[:, :2]]
        return np.array(rois).reshape(-1, 4), scores


@dataclass(frozen=True)
class LandmarkOutput:
    """Prediction of the landmark network for one crop, in the crop's frame."""

    score: float  # 0..1, of a person being there
    points: Array  # (33, 2) px
    alignment_points: Array  # (2, 2) px: mid-hip, and the top of the circle around the body
    confidence: Array  # (33,) 0..1
    heatmap_peak: Array  # (33,) 0..1, peak near the point
    landmarks_3d: Array  # (33, 3) m, hip-centred

    def flip(self) -> Self:
        """Convert the prediction for a mirrored crop to the original one: left and right are exchanged."""
        return type(self)(
            score=self.score,
            points=self.points[MIRROR_LANDMARK] * (-1, 1) + (geometry.CROP_SIZE, 0),
            alignment_points=self.alignment_points * (-1, 1) + (geometry.CROP_SIZE, 0),
            confidence=self.confidence[MIRROR_LANDMARK],
            heatmap_peak=self.heatmap_peak[MIRROR_LANDMARK],
            landmarks_3d=self.landmarks_3d[MIRROR_LANDMARK] * (-1, 1, 1),
        )

    def swap_sides(self, limbs: Array) -> Self:
        """Exchange left and right of these landmarks."""
        order = np.arange(LANDMARKS)
        order[limbs] = MIRROR_LANDMARK[limbs]
        return type(self)(
            self.score,
            self.points[order],
            self.alignment_points,
            self.confidence[order],
            self.heatmap_peak[order],
            self.landmarks_3d[order],
        )


@dataclass(frozen=True)
class PersonPose:
    """One person in one frame."""

    score: float  # 0..1, of a person being in the ROI
    roi: Array  # (4,) the network's input region
    keypoints: Array  # (33, 2) px of the image
    confidence: Array  # (33,) 0..1: in the image and not hidden, lowered where the two predictions disagree
    landmarks_3d: Array  # (33, 3) m, hip-centred, camera axes (x right, y down, z away from the camera)
    next_roi: Array  # (4,) of the person, from the network's two auxiliary points
    side_ambiguous: Array  # (3,) bool, legs, arms, trunk: the two predictions disagree about left and right


class Landmarker:
    """Predicts the landmarks of the person in a ROI, from the crop and its mirror image.

    The two predictions run in parallel. Their mean jitters a quarter less than one of them.
    """

    def __init__(self, path: Path) -> None:
        self._model = LiteRTModel(path)
        self._flip_model = LiteRTModel(path)
        self._pool = ThreadPoolExecutor(1)

    def __call__(self, image: Array, roi: Array, mask: Array | None = None) -> PersonPose:
        """Predict the person in the ROI (4,) of an image (H, W, 3) uint8; a low score means that there is none.

        Pixels of the crop in `mask` (256, 256) are replaced by the mean of the others.
        """
        pixels = geometry.warp_crop(image, roi)
        if mask is not None and not mask.all():
            pixels[mask] = pixels[~mask].mean(axis=0)
        crop = pixels.astype(np.float32) / 255
        flipped = self._pool.submit(lambda: infer_landmarks(self._flip_model, np.ascontiguousarray(crop[:, ::-1])))
        return fuse_flip(infer_landmarks(self._model, crop), flipped.result().flip(), roi)


def infer_landmarks(model: LiteRTModel, crop: Array) -> LandmarkOutput:
    """Run the landmark network on a crop (256, 256, 3), float32 in 0..1."""
    return decode_landmarks(model(crop))


def decode_landmarks(outputs: list[Array]) -> LandmarkOutput:
    """Decode the network's outputs: landmarks (195), score, a mask, heat maps (64, 64, 39), 3D landmarks (117)."""
    landmarks, score, _, heatmaps, landmarks_3d = outputs
    rows = landmarks.reshape(-1, 5)
    points, heatmap_peak = refine_from_heatmap(rows[:LANDMARKS, :2], _sigmoid(heatmaps[..., :LANDMARKS]))
    return LandmarkOutput(
        score=float(score[0]),
        points=points,
        alignment_points=rows[33:35, :2],
        confidence=_sigmoid(rows[:LANDMARKS, 3:]).prod(axis=1),
        heatmap_peak=heatmap_peak,
        landmarks_3d=landmarks_3d.reshape(-1, 3)[:LANDMARKS],
    )


def refine_from_heatmap(points: Array, heatmaps: Array) -> tuple[Array, Array]:
    """Move landmarks (N, 2), px of the crop, to the mean of the heat near them, where its peak is high enough.

    `heatmaps` is (64, 64, N); cell i is at coordinate 4 i px (determined by comparing mirrored crops).
    Returns the points and the peak near each, (N,).
    """
    refined_points, peak = points.copy(), np.zeros(len(points), np.float32)
    for k, (x, y) in enumerate(np.floor(points / HEATMAP_STRIDE).astype(int)):
        rows = slice(max(0, y - HEATMAP_WINDOW), max(0, y + HEATMAP_WINDOW + 1))
        columns = slice(max(0, x - HEATMAP_WINDOW), max(0, x + HEATMAP_WINDOW + 1))
        patch = heatmaps[rows, columns, k]
        peak[k] = patch.max(initial=0)
        if peak[k] >= MIN_HEATMAP_PEAK:
            weight = HEATMAP_STRIDE / patch.sum()
            refined_points[k, 0] = (np.arange(HEATMAP_SIZE)[columns] * patch.sum(axis=0)).sum() * weight
            refined_points[k, 1] = (np.arange(HEATMAP_SIZE)[rows] * patch.sum(axis=1)).sum() * weight
    return refined_points, peak


def fuse_flip(first: LandmarkOutput, second: LandmarkOutput, roi: Array) -> PersonPose:
    """Combine two predictions for one crop into one pose in the image and camera frames.

    Where the second one has legs, arms or trunk the other way round, its sides are exchanged.
    """
    side_ambiguous = []
    for limbs in (pair.ravel() for pair in LIMBS):
        swapped = second.swap_sides(limbs)
        side_ambiguous.append(_distance(first, swapped, limbs) + MAX_DISAGREEMENT < _distance(first, second, limbs))
        second = swapped if side_ambiguous[-1] else second
    disagreement = np.linalg.norm(first.points - second.points, axis=1)
    weights = np.stack([first.heatmap_peak, second.heatmap_peak]) + 1e-3
    weights[:, disagreement > MAX_DISAGREEMENT] = weights[:, disagreement > MAX_DISAGREEMENT] == weights[
        :, disagreement > MAX_DISAGREEMENT
    ].max(axis=0)
    second_weight = (weights[1] / weights.sum(axis=0))[:, None]
    points = first.points * (1 - second_weight) + second.points * second_weight
    confidence = (
        (first.confidence + second.confidence)
        / 2
        * (first.heatmap_peak + second.heatmap_peak)
        / 2
        / (1 + (disagreement / MAX_DISAGREEMENT) ** 2)
    )
    center, circle_top = geometry.to_image((first.alignment_points + second.alignment_points) / 2, roi)
    return PersonPose(
        score=min(first.score, second.score),
        roi=roi,
        keypoints=geometry.to_image(points, roi),
        confidence=confidence,
        landmarks_3d=geometry.to_camera((first.landmarks_3d + second.landmarks_3d) / 2, roi),
        next_roi=geometry.roi_from_circle(center, circle_top),
        side_ambiguous=np.array(side_ambiguous),
    )


def _distance(first: LandmarkOutput, second: LandmarkOutput, limbs: Array) -> float:
    return float(np.linalg.norm(first.points[limbs] - second.points[limbs], axis=1).mean())


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
