"""The paper's Tables 4 and 5 at small scale: the same short training with other numbers of queries, or other maps.

    python tools/ablate.py queries --motion FOLDER --out runs/queries [--bank bank.npz]
    python tools/ablate.py scales --motion FOLDER --out runs/scales [--pictures FOLDER]

Everything else is as in training/configs/mqhmr_queries.toml and mqhmr_scales.toml. Prints errors on held-out motion:
of synthetic views for the queries, of rendered pictures for the scales. A run that was cut goes on. --bank takes the
detector's errors, --pictures the folder with `pictures` and `held_out`, of another run instead of making them anew.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch

from biopose_cli.cli.display import Display
from biopose_cli.training import mqhmr
from biopose_cli.training.mqhmr_config import DEFAULT_CONFIG, TrainConfig, read_config

QUERIES = (4, 24, 48, 96, 192, 384)
SCALES = ("encoder8", "encoder16", "encoder32", "encoder8 encoder16", "encoder8 encoder16 encoder32")
COLUMNS = ("mpjpe_mm", "pa_mpjpe_mm", "joints_deg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("queries", "scales"))
    parser.add_argument("--motion", type=Path, required=True, help="folder of the motion-capture archives")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bank", type=Path, help="bank.npz of another run")
    parser.add_argument("--pictures", type=Path, help="folder of another run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    base_config = read_config(DEFAULT_CONFIG.with_name(f"mqhmr_{args.what}.toml"))
    shared = {"bank.npz": args.bank} if args.what == "queries" else {}
    if args.what == "scales" and args.pictures is not None:
        shared = {name: args.pictures / name for name in ("pictures", "held_out")}
    print(f"| {args.what} | MPJPE, mm | PA-MPJPE, mm | joints, deg |\n|---|---|---|---|")
    for name, config in _variants(args.what, base_config).items():
        folder = args.out / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for entry, source in shared.items():
            if source is not None and not (folder / entry).exists():
                (folder / entry).symlink_to(source.resolve(), source.is_dir())
        with Display(quiet=True) as display:
            mqhmr.train(config, args.motion, folder, display)
        shared = {entry: folder / entry for entry in ("bank.npz", "pictures", "held_out") if (folder / entry).exists()}
        with (folder / "log.csv").open(encoding="utf-8") as file:
            last = [row for row in csv.DictReader(file) if row["held_out/mpjpe_mm"]][-1]
        cells = (float(last[f"held_out/{key}"]) for key in COLUMNS)
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |", flush=True)


def _variants(what: str, base_config: TrainConfig) -> dict[str, TrainConfig]:
    if what == "queries":
        return {f"{queries}": replace(base_config, queries=queries) for queries in QUERIES}
    return {layers: replace(base_config, feature_layers=layers) for layers in SCALES}


if __name__ == "__main__":
    main()
