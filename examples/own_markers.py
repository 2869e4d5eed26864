"""Your own markers to joint angles and a scaled skeleton, without a video.

The .trc is in OpenSim's ground frame (y up). `SITES` turns your names into BioPose's; those that it lacks are kept.

python examples/own_markers.py trial.trc angles.csv trial.osim
"""

import sys
from pathlib import Path

import biopose_cli

SITES = {"R.ASIS": "RASI", "L.ASIS": "LASI", "R.PSIS": "RPSI", "L.PSIS": "LPSI"}  # and so on

trc, table, model = sys.argv[1:4]
measured = biopose_cli.read_trc(trc)
names = [SITES.get(name, name) for name in measured.names]
known = [column for column, name in enumerate(names) if name in biopose_cli.MARKER_NAMES]
kinematics = biopose_cli.solve_ik_from_markers(
    measured.time, measured.positions[:, known], [names[column] for column in known], height=1.75
)
kinematics.to_dataframe().to_csv(table, index=False)
Path(model).write_text(kinematics.model_xml, encoding="utf-8")
