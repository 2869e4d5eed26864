"""Make a clip of any length from the embedded one, for `biopose bench`: it runs to and fro, so nothing jumps.

python scripts/make_long_clip.py long.mp4                     # 60 s, 1920 x 1080, 30 frames/s
python scripts/make_long_clip.py long.mp4 --seconds 600
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import av
import cv2
import numpy as np

from biopose_cli.synthesis.ground_truth_video import FPS, write_video

CLIP = Path(__file__).parents[1] / "sample_videos" / "walk.mp4"
HEIGHT, WIDTH = 1080, 1920


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    images = wide_images()
    there_and_back = itertools.cycle([*images, *images[-2:0:-1]])
    write_video(
        args.out,
        itertools.islice(there_and_back, round(args.seconds * FPS)),
        quality=20,
        preset="veryfast",
    )


def wide_images() -> list[np.ndarray]:
    """The clip's pictures, RGB, as high as wanted, with its outermost columns repeated to the sides."""
    images = []
    with av.open(str(CLIP)) as file:
        for frame in file.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            width = round(image.shape[1] * HEIGHT / image.shape[0])
            resized = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
            left = (WIDTH - width) // 2
            images.append(cv2.copyMakeBorder(resized, 0, 0, left, WIDTH - width - left, cv2.BORDER_REPLICATE))
    return images


if __name__ == "__main__":
    main()
