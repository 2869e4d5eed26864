"""Batches: the same whatever was asked before, and markers that belong to their angles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.skeleton.kinematics import Kinematics
from biopose_cli.synthesis.joint_motion import INDEX, LOWER, UPPER
from biopose_cli.training import marker_loader
from biopose_cli.training.marker_dataset import FRAMES
from biopose_cli.training.marker_loader import MarkerLoader, NeurIKBatch, segment_tree
from tests.helpers.synthetic_markers import made_up_pairs, typical

CLIPS, WINDOW = 10, 8


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker_loader, "POOL_SIZE", 12)
    monkeypatch.setattr(marker_loader, "POOL_REFRESH_STEPS", 3)


def make(
    captured: float = 0.5,
    clean: float = 0.4,
    noise: float = 1.0,
    seed: int = 5,
    window: int = WINDOW,
    clips: int = CLIPS,
) -> MarkerLoader:
    table, _ = typical()
    return MarkerLoader(made_up_pairs(), table, clips, window, seed, captured, clean, noise)


def equal(one: NeurIKBatch, other: NeurIKBatch) -> bool:
    names = ("markers", "visible", "q", "scale")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def people_of(batch: NeurIKBatch) -> Tensor:
    """(C): who wears each clip, by the scale."""
    factors = torch.as_tensor(made_up_pairs().factors)
    return (batch.scale[:, None] - factors).abs().sum((2, 3)).argmin(1)


def on_the_bones(batch: NeurIKBatch) -> Tensor:
    """(C, W, M, 3): the markers of the batch's angles, scales and people."""
    places = torch.as_tensor(made_up_pairs().marker_locations)[people_of(batch)]
    frames = batch.q.shape[1]
    each = [part.repeat_interleave(frames, 0) for part in (batch.scale, places)]
    kinematics = Kinematics(typical()[0], torch.float32)
    markers: Tensor = kinematics.markers(batch.q.flatten(0, 1), *each).unflatten(0, batch.q.shape[:2])
    return markers


def test_a_batch_has_the_shapes_and_kinds_that_training_needs() -> None:
    batch = make().batch(0)
    table, places = typical()
    assert batch.markers.shape == (CLIPS, WINDOW, len(places), 3)
    assert batch.visible.shape == batch.markers.shape[:3]
    assert batch.q.shape == (CLIPS, WINDOW, len(table.coordinates))
    assert batch.scale.shape == (CLIPS, len(table.bodies), 3)
    assert {batch.markers.dtype, batch.q.dtype, batch.scale.dtype} == {torch.float32}
    assert batch.visible.dtype == torch.bool
    assert torch.isfinite(batch.markers).all()


def test_a_batch_depends_on_seed_and_number_only() -> None:
    ours = make()
    asked = {number: ours.batch(number) for number in (0, 1, 2, 3, 4, 7)}  # over two renewals of the pool
    for number in (4, 0, 7):
        assert equal(make().batch(number), asked[number])
    assert equal(ours.batch(1), asked[1])
    assert not torch.equal(asked[0].markers, asked[1].markers)
    assert not torch.equal(make(seed=6).batch(0).markers, asked[0].markers)


def test_the_pool_is_drawn_anew_after_a_while() -> None:
    ours = make(captured=0.0)

    def pool(step: int) -> Tensor:
        ours.batch(step)
        return torch.as_tensor(ours._pool[1])

    assert torch.equal(pool(0), pool(2))
    assert not torch.equal(pool(0), pool(3))


def test_markers_of_joint_space_motion_sit_beside_the_bones_by_a_constant_of_a_few_mm() -> None:
    batch = make(captured=0.0, clean=1.0).batch(0)
    apart = torch.linalg.vector_norm(batch.markers - on_the_bones(batch), dim=-1)
    assert torch.sqrt((apart**2).mean() / 3) == pytest.approx(marker_loader._MARKER_STD, rel=0.15)
    assert (apart - apart[:, :1]).abs().max() < 1e-5


def test_markers_of_joint_space_motion_are_those_of_its_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker_loader, "_MARKER_STD", 0.0)
    batch = make(captured=0.0, clean=1.0).batch(0)
    torch.testing.assert_close(batch.markers, on_the_bones(batch), atol=1e-5, rtol=0)
    assert len(set(people_of(batch).tolist())) > 1


def test_joint_space_motion_lies_in_the_ranges_and_is_not_the_captured_one() -> None:
    batch = make(captured=0.0, clean=1.0).batch(0)
    columns = [INDEX[name] for name in typical()[0].coordinates]
    for limits, sign in ((LOWER, 1), (UPPER, -1)):
        assert (sign * (batch.q - torch.as_tensor(limits[columns]).float()) > -1e-5).all()
    captured = torch.as_tensor(made_up_pairs().q).flatten(0, 1)
    nearest = (batch.q[:, 0, None] - captured).abs().amax(-1).amin(-1)
    assert nearest.min() > 0.01


def test_captured_motion_is_a_window_of_a_clip_at_60_or_30_frames_a_second() -> None:
    pairs, strides = made_up_pairs(), set()
    for number in range(6):
        batch = make(captured=1.0, clean=1.0).batch(number)
        q = torch.as_tensor(pairs.q)
        for clip in range(CLIPS):
            same = torch.nonzero((q == batch.q[clip, 0]).all(-1))
            [[row, first]] = same.tolist()
            [[_, second]] = torch.nonzero((q == batch.q[clip, 1]).all(-1)).tolist()
            stride = second - first
            strides.add(stride)
            window = slice(first, first + stride * WINDOW, stride)
            assert torch.equal(batch.q[clip], q[row, window])
            np.testing.assert_array_equal(batch.markers[clip], pairs.markers[row, window])
            np.testing.assert_array_equal(batch.scale[clip], pairs.factors[pairs.person[row]])
    assert strides == {1, 2}


def test_a_window_as_long_as_a_clip_is_the_clip() -> None:
    batch = make(captured=1.0, clean=1.0, window=FRAMES).batch(0)
    known = torch.as_tensor(made_up_pairs().q)
    assert all((known == clip).all((1, 2)).any() for clip in batch.q)


def test_the_clean_share_has_no_noise_and_no_gaps_and_the_others_have() -> None:
    noisy, clean = make(noise=1.0).batch(2), make(noise=0.0).batch(2)
    assert torch.equal(noisy.q, clean.q)
    assert clean.visible.all()
    off = (clean.markers - on_the_bones(clean)).abs().amax((1, 2, 3))
    assert (off < 1e-5).sum() == CLIPS // 2  # the captured ones
    assert off.max() < 0.03
    assert torch.equal(noisy.markers[:4], clean.markers[:4])
    assert noisy.visible[:4].all()
    apart = torch.linalg.vector_norm(noisy.markers - clean.markers, dim=-1).mean((1, 2))
    assert (apart[4:] > 1e-3).all()
    assert not noisy.visible[4:].all()


def test_clean_clips_are_of_both_kinds() -> None:
    """The clips are shuffled before noise is put on the last of them."""
    bones = [on_the_bones(batch) - batch.markers for batch in [make(clean=1.0).batch(n) for n in range(4)]]
    captured = [(difference.abs().amax((1, 2, 3)) < 1e-5)[:4] for difference in bones]
    assert 0 < torch.cat(captured).float().mean() < 1


def test_every_marker_has_its_body_and_every_body_its_parent_before_it() -> None:
    table, _ = typical()
    segments, parents = segment_tree(table)
    np.testing.assert_array_equal(segments, table.marker_bodies)
    assert parents[0] == -1
    assert all(parent < body for body, parent in enumerate(parents))
