"""The pictures of the body's markers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np
import torch

from biopose_cli.body.markers import MARKER_NAMES
from biopose_cli.body.model import JOINT_NAMES, load_body


def test_markers_are_drawn_where_they_are_and_on_the_side_that_faces_the_viewer(
    script: Callable[[str], ModuleType],
) -> None:
    draw_markers = script("draw_markers")
    body = load_body()
    vertices, joints, markers = draw_markers.pose_body(body, {}, torch.zeros(10))
    figure, axes = plt.subplots()
    window = draw_markers.full_window(vertices)
    matrix, offset = draw_markers.draw(axes, vertices, body.faces, "front", window, 100)
    plt.close(figure)
    points = markers @ matrix.T + offset
    image = axes.images[0].get_array()
    rows, columns = points[:, 1].astype(int), points[:, 0].astype(int)
    assert (np.asarray(image)[rows, columns].min(axis=1) < 1).mean() > 0.7  # on the body, but for those on its outline
    head, foot = (joints[JOINT_NAMES.index(name)] @ matrix.T + offset for name in ("head", "left_foot"))
    assert head[1] < foot[1]
    front, back = (draw_markers.facing_viewer(body, vertices, view) for view in ("front", "back"))
    assert front[MARKER_NAMES.index("RASI")] and not back[MARKER_NAMES.index("RASI")]
    assert back[MARKER_NAMES.index("RPSI")] and not front[MARKER_NAMES.index("RPSI")]
