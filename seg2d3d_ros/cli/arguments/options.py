"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.config import Config, declarations, load_config
from seg2d3d_ros.declaration import Value
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.sections.presets import PRESETS, preset_lines


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """``--preset``, ``--params`` and ``--set``."""
    group = parser.add_argument_group("configuration (command line over file over preset over defaults)")
    group.add_argument(
        "--preset",
        default="default",
        choices=list(PRESETS),
        metavar="NAME",
        help="a named set of parameters, one of those below (default: default)",
    )
    parser.epilog = "\n".join(filter(None, (parser.epilog, "presets:", *preset_lines())))
    group.add_argument("--params", type=Path, metavar="FILE", help="YAML parameter file; config/parameters.yaml shows all")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one parameter, e.g. reconstruction.seed=1"
    )


def networks_from_args(args: argparse.Namespace) -> NetworkSettings:
    """Where models come from and run, with ``--download`` of the command."""
    given: dict[str, Value] = {"segmentation.allow_download": True} if args.download else {}
    return config_from_args(args, given).segmentation.networks


def config_from_args(args: argparse.Namespace, overrides: dict[str, Value] | None = None) -> Config:
    """The effective configuration of a command line; ``overrides`` come from the command's own options."""
    known = declarations()
    values: dict[str, Value] = {}
    for item in args.set:
        key, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: write KEY=VALUE")
        values[key] = known[key].parse(text) if key in known else text
    return load_config(preset=args.preset, file=args.params, overrides={**values, **(overrides or {})})


def add_words_arguments(parser: argparse.ArgumentParser) -> None:
    """What the commands about words share."""
    parser.add_argument("--model", metavar="NAME", help="the text-image model (words.model); `seg2d3d models` lists some")
    parser.add_argument("--download", action="store_true", help="download the model's weights if they are missing")
    add_config_arguments(parser)


def words_overrides(args: argparse.Namespace) -> dict[str, Value]:
    """What ``add_words_arguments`` sets of the configuration."""
    given: dict[str, Value] = {"words.model": args.model or "", "segmentation.allow_download": args.download}
    return {name: value for name, value in given.items() if value}
