"""``seg2d3d recover``: a whole rosbag of what a damaged one still holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.findings import printable
from seg2d3d_ros.progress import ProgressBars
from seg2d3d_ros.recording.recovery import Loss, RecoveredRecording, default_out, recover

INTERRUPTED = "the recording is as it was, and nothing half-written has the name of a whole one; call the same command again"
EXAMPLES = ("seg2d3d recover drive", "seg2d3d recover drive_0.mcap --out drive_whole")
"""Shown at the end of ``--help`` and in docs/commands.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's options (design, section 9)."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 directory, .mcap or .db3 file, or rosbag1 .bag file")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the new rosbag2; default: <BAG>_recovered beside the old one"
    )
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="", help="of the new one; default: as the old one")


def run(args: argparse.Namespace) -> int:
    """Write the new recording, and say for each topic what is left and what is lost."""
    progress = ProgressBars()
    try:
        recovered = recover(args.bag, args.out or default_out(args.bag), storage=args.storage, progress=progress)
    finally:
        progress.close()
    tell_result(*map(printable, table(recovered)))
    tell_findings(recovered.findings, aside=True)
    tell_result(printable(f"{recovered.out} is whole; the old recording is as it was"))
    return 0


def table(recovered: RecoveredRecording) -> list[str]:
    """A line for each topic: messages that are left, that are lost, and seconds without any."""
    width = max([len(topic.name) for topic in recovered.topics] + [5])
    lines = [f"{'topic':<{width}}  {'left':>8}  {'lost':>12}  {'seconds without':>15}"]
    for topic in recovered.topics:
        loss = topic.loss(recovered.start_ns, recovered.end_ns) if recovered.damaged else Loss(0, False, 0.0)
        lost = str(loss.messages)
        if loss.estimated:
            lost = f"about {loss.messages}" if loss.messages else "unknown"
        lines.append(f"{topic.name:<{width}}  {topic.kept:>8}  {lost:>12}  {loss.seconds:>15.1f}")
    return lines
