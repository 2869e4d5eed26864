"""All videos of a folder to one table of joint angles; a video that fails does not stop the others.

python examples/loop_over_folder.py clinic results angles.csv
"""

import sys
from pathlib import Path

import pandas as pd

import biopose_cli

folder, out, table = map(Path, sys.argv[1:4])
tables = []
for video in sorted(folder.glob("*.mp4")):
    try:
        result = biopose_cli.run(video, out)  # a second call reuses what is up to date
    except biopose_cli.BioPoseError as error:
        print(f"{video.name}: {error}")
        continue
    tables.append(result.kinematics.to_dataframe().assign(video=video.name))
    print(f"{video.name}: {len(result.kinematics.time)} frames")
if tables:
    pd.concat(tables).to_csv(table, index=False)
