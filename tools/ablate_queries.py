"""How many pose queries? The paper's Table 4 at small scale: the same short training with 4 to 384 of them.

    python tools/ablate_queries.py --motion FOLDER --out runs/queries

Everything but the number is as in training/configs/mqhmr_queries.toml. Prints the errors on synthetic views of held-out
motion. A run that was cut goes on; --bank takes the detector's errors of another run instead of measuring them anew.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from biopose_cli.console import Display
from biopose_cli.training import mqhmr

QUERIES = (4, 24, 48, 96, 192, 384)
RECIPE = mqhmr.SHIPPED.with_name("mqhmr_queries.toml")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--motion", type=Path, required=True, help="folder of the motion-capture archives")
    options.add_argument("--out", type=Path, default=Path("runs/queries"))
    options.add_argument("--bank", type=Path, help="bank.npz of another run")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    recipe = mqhmr.read_config(RECIPE)
    bank = chosen.bank
    print("| queries | MPJPE, mm | PA-MPJPE, mm | joints, deg |\n|---|---|---|---|")
    for queries in QUERIES:
        folder = chosen.out / f"{queries}"
        folder.mkdir(parents=True, exist_ok=True)
        if bank is not None and not (folder / "bank.npz").exists():
            shutil.copy(bank, folder / "bank.npz")
        with Display(quiet=True) as display:
            mqhmr.train(replace(recipe, queries=queries), chosen.motion, folder, display)
        bank = folder / "bank.npz"
        with (folder / "log.csv").open(encoding="utf-8") as file:
            last = [row for row in csv.DictReader(file) if row["held_out/mpjpe_mm"]][-1]
        cells = (float(last[f"held_out/{key}"]) for key in ("mpjpe_mm", "pa_mpjpe_mm", "joints_deg"))
        print(f"| {queries} | " + " | ".join(f"{value:.1f}" for value in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
