"""One video to joint angles.

python examples/run_one.py walk.mp4 results
"""

import sys

import biopose_cli

video, out = sys.argv[1:3]
result = biopose_cli.run(video, out)  # options as keywords: height=1.75, person=2, ...
for warning in result.warnings:
    print("warning:", warning)
for path in result.files:
    print(path)

angles = result.kinematics.to_dataframe()
degrees = angles[angles.unit == "deg"]
print(degrees.groupby("coordinate").value.agg(["min", "max"]).round(1))
