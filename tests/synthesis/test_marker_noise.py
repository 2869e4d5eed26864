"""The statistics of the noise: size, duration, growth along limbs, depth, gaps; and that a seed fixes it."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import load_body
from biopose_cli.synthesis import marker_noise
from biopose_cli.synthesis.marker_noise import LEVELS, NoiseLevel, add_noise, modes

BODIES = (
    "pelvis", "femur_r", "tibia_r", "talus_r", "calcn_r", "toes_r", "femur_l", "tibia_l", "talus_l", "calcn_l",
    "toes_l", "lumbar", "torso", "head", "humerus_r", "ulna_r", "radius_r", "hand_r", "humerus_l", "ulna_l",
    "radius_l", "hand_l",
)  # fmt: skip
PARENTS = (-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 12, 14, 15, 16, 12, 18, 19, 20)
SEGMENTS = tuple(BODIES.index(marker.segment) for marker in MARKERS)
TO_HAND = ("pelvis", "lumbar", "torso", "humerus_r", "ulna_r", "radius_r", "hand_r")
CLIPS, FRAMES, FPS = 400, 48, 30.0


def noisy(level: NoiseLevel, markers: Tensor | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    if markers is None:
        markers = torch.zeros(CLIPS, FRAMES, len(SEGMENTS), 3)
    return add_noise(markers, SEGMENTS, PARENTS, FPS, level, torch.Generator().manual_seed(seed))


def markers_of(body: str) -> list[int]:
    return [m for m, segment in enumerate(SEGMENTS) if BODIES[segment] == body]


def rms(error: Tensor) -> float:
    """Of the lengths of vectors."""
    return float(error.square().sum(-1).mean().sqrt())


def correlation(first: Tensor, second: Tensor) -> float:
    return float((first * second).mean() / (first.square().mean() * second.square().mean()).sqrt())


@pytest.fixture(scope="module")
def body_clips() -> Tensor:
    """The default body at rest in every frame of every clip."""
    return load_body().rest(torch.zeros(10)).markers.expand(CLIPS, FRAMES, -1, -1).contiguous()


@pytest.mark.parametrize(("name", "size"), [("low", 0.008), ("medium", 0.018), ("high", 0.035)])
def test_a_level_has_its_size_from_pelvis_to_hand(body_clips: Tensor, name: str, size: float) -> None:
    error = noisy(replace(LEVELS[name], drift=0.0), body_clips)[0] - body_clips
    per_body = [rms(error[:, :, markers_of(body)]) for body in TO_HAND]
    assert np.mean(per_body) == pytest.approx(size, rel=0.08)


def test_the_clean_level_changes_nothing(body_clips: Tensor) -> None:
    markers, seen = noisy(LEVELS["clean"], body_clips)
    assert torch.equal(markers, body_clips)
    assert bool(seen.all())
    assert markers.is_contiguous()


def test_a_seed_fixes_the_noise_and_the_input_stays(body_clips: Tensor) -> None:
    before = body_clips.clone()
    one, again, other = (noisy(LEVELS["high"], body_clips, seed) for seed in (3, 3, 4))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])
    assert torch.equal(body_clips, before)


def test_the_drift_moves_all_markers_alike_mostly_in_depth() -> None:
    error = noisy(NoiseLevel(drift=0.01))[0]
    torch.testing.assert_close(error, error[:, :, :1].expand_as(error), atol=1e-6, rtol=0)
    assert float(error[..., 1].std()) == pytest.approx(0.01, rel=0.1)
    ground = error[:, :, 0][..., [0, 2]]
    assert rms(ground) == pytest.approx(0.01 * np.sqrt(1 + marker_noise.DRIFT_DEPTH_RATIO**2), rel=0.1)
    across, along = principal_directions(ground)
    assert along / across > 2.5  # within one clip the direction itself is estimated from few independent samples


def test_every_clip_has_another_view_direction() -> None:
    ground = noisy(NoiseLevel(drift=0.01))[0][:, :, 0]
    x, z = (float(ground[..., axis].square().mean()) for axis in (0, 2))
    assert x == pytest.approx(z, rel=0.2)


def principal_directions(ground: Tensor) -> tuple[float, float]:
    """RMS over clips across and along each clip's own main direction; `ground` (C, T, 2)."""
    spread = torch.linalg.eigvalsh(ground.transpose(1, 2) @ ground / ground.shape[1])
    across, along = spread.mean(0).sqrt().tolist()
    return across, along


def test_limb_noise_grows_outwards_and_is_deeper_than_wide() -> None:
    error = noisy(NoiseLevel(segment=0.01))[0]
    one_step = 0.01 * np.sqrt(2 + marker_noise.SEGMENT_DEPTH_RATIO**2)
    for steps, body in enumerate(TO_HAND, start=1):
        assert rms(error[:, :, markers_of(body)]) == pytest.approx(one_step * np.sqrt(steps), rel=0.06), body
    assert float(error[..., markers_of("pelvis"), 1].std()) == pytest.approx(0.01, rel=0.05)


def test_markers_of_a_limb_err_together_and_those_of_two_limbs_less() -> None:
    error = noisy(NoiseLevel(segment=0.01))[0]
    hand, radius, other_hand, foot = (
        error[:, :, markers_of(body)[0]] for body in ("hand_r", "radius_r", "hand_l", "calcn_r")
    )
    assert torch.equal(error[:, :, markers_of("hand_r")[1]], hand)
    assert correlation(hand, radius) == pytest.approx(np.sqrt(6 / 7), abs=0.03)
    assert correlation(hand, other_hand) == pytest.approx(3 / 7, abs=0.06)
    assert correlation(hand, foot) == pytest.approx(1 / np.sqrt(7 * 5), abs=0.06)


def test_limb_noise_lasts_as_long_as_it_should_and_its_bias_for_the_clip() -> None:
    changing, constant = (noisy(level)[0] for level in (NoiseLevel(segment=0.01), NoiseLevel(segment_bias=0.01)))
    for lag in (6, 12, 24):
        expected = np.exp(-lag / FPS / marker_noise.SEGMENT_TIME)
        assert correlation(changing[:, lag:], changing[:, :-lag]) == pytest.approx(expected, abs=0.04)
    assert torch.equal(constant, constant[:, :1].expand_as(constant))
    assert rms(constant[:, :, markers_of("pelvis")]) == pytest.approx(
        0.01 * np.sqrt(2 + marker_noise.SEGMENT_DEPTH_RATIO**2), rel=0.1
    )


@pytest.mark.parametrize(("frames", "time"), [(1, 0.4), (48, 0.4), (48, 1.0), (150, 1.0)])
def test_modes_are_a_process_of_unit_variance_and_the_given_correlation(frames: int, time: float) -> None:
    process = modes(frames, FPS, time)
    covariance = process @ process.T
    lags = (torch.arange(frames)[:, None] - torch.arange(frames)).abs() / FPS
    torch.testing.assert_close(covariance.diagonal(), torch.ones(frames, dtype=torch.float64))
    assert float((covariance - torch.exp(-lags.double() / time)).abs().max()) < 0.15
    assert process.shape[1] <= max(1, frames // 2)


def test_segment_rotations_keep_centroid_and_distances(body_clips: Tensor) -> None:
    turned = noisy(NoiseLevel(rotation=0.02), body_clips)[0]
    for body in ("pelvis", "torso", "femur_r"):
        before, after = body_clips[:, :, markers_of(body)], turned[:, :, markers_of(body)]
        torch.testing.assert_close(after.mean(2), before.mean(2), atol=1e-6, rtol=0)
        lengths = [torch.linalg.vector_norm(x[:, :, 1:] - x[:, :, :-1], dim=-1) for x in (before, after)]
        torch.testing.assert_close(lengths[1], lengths[0], rtol=0.01, atol=0)
        arms = before - before.mean(2, keepdim=True)
        assert rms(after - before) == pytest.approx(0.02 * np.sqrt(2) * rms(arms), rel=0.05)


def test_a_segment_rotation_moves_a_marker_perpendicular_to_its_lever(body_clips: Tensor) -> None:
    moved = noisy(NoiseLevel(rotation=0.02), body_clips)[0] - body_clips
    own = markers_of("torso")
    arms = body_clips[:, :, own] - body_clips[:, :, own].mean(2, keepdim=True)
    assert rms(moved[:, :, own]) > 1e-4
    assert float((moved[:, :, own] * arms).sum(-1).abs().max()) < 1e-7


def test_sites_are_constant_and_jitter_is_white() -> None:
    sites, jitter = (noisy(level)[0] for level in (NoiseLevel(marker=0.01), NoiseLevel(jitter=0.01)))
    assert torch.equal(sites, sites[:, :1].expand_as(sites))
    for error in (sites, jitter):
        assert float(error.std()) == pytest.approx(0.01, rel=0.02)
        assert abs(correlation(error[:, :, 0], error[:, :, 1])) < 0.07
    assert abs(correlation(jitter[:, 1:], jitter[:, :-1])) < 0.01


def test_single_markers_are_missing_at_the_given_rate() -> None:
    seen = noisy(NoiseLevel(marker_missing=0.1))[1]
    assert seen.dtype == torch.bool
    assert float((~seen).float().mean()) == pytest.approx(0.1, rel=0.02)


def test_whole_segments_are_missing_at_the_given_rate() -> None:
    missing = ~noisy(NoiseLevel(limb_missing=0.4))[1]
    touched = missing.flatten(1).any(1)
    assert float(touched.float().mean()) == pytest.approx(0.4, abs=0.08)
    assert not bool(missing[:, :, markers_of("pelvis")].any())  # the root is no limb
    frames = missing.any(2)
    assert int(frames.sum(1).max()) <= marker_noise.MAX_GAP * FPS + 1
    assert int((frames[:, 1:] & ~frames[:, :-1]).sum(1).max() + frames[:, 0].max()) <= 2
    begins = frames[:, 0].int() + (frames[:, 1:] & ~frames[:, :-1]).sum(1)
    assert torch.equal(begins > 0, touched)
    assert int(begins.max()) == 1  # one unbroken span
    for clip in missing[touched]:
        for inner, outer in (("humerus_r", "hand_r"), ("femur_l", "toes_l"), ("torso", "head")):
            assert bool(clip[:, markers_of(outer)].all(1)[clip[:, markers_of(inner)].any(1)].all())


def test_scaling_a_level() -> None:
    half, much = LEVELS["high"].scaled(0.5), LEVELS["high"].scaled(100)
    assert astuple(half) == pytest.approx([0.5 * size for size in astuple(LEVELS["high"])])
    assert (much.limb_missing, much.marker_missing) == (1.0, 1.0)
    assert LEVELS["high"].scaled(0) == LEVELS["clean"]


def test_a_single_segment_has_no_limb_to_lose_and_orders_are_checked() -> None:
    generator = torch.Generator().manual_seed(0)
    _, seen = add_noise(torch.zeros(5, 4, 2, 3), (0, 0), (-1,), FPS, NoiseLevel(limb_missing=1.0), generator)
    assert bool(seen.all())
    with pytest.raises(ValueError, match="precedes its parent"):
        add_noise(torch.zeros(1, 4, 1, 3), (1,), (1, -1), FPS, NoiseLevel(), generator)
