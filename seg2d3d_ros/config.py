"""The configuration: all sections as one value, read from files, presets and command lines.

The command line, the YAML files, the ROS parameters and the documentation are all made from the dataclasses in ``sections``.
Precedence: command line over file over preset over the defaults there.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seg2d3d_ros.declaration import Declaration, Value, declarations_of, nearest
from seg2d3d_ros.disk.documents import read_yaml, shown
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.sections.clicks_config import ClicksConfig
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.sections.presets import PRESETS
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.sections.words_config import WordsConfig

SECTIONS: dict[str, type] = {
    "keyframes": KeyframeConfig,
    "segmentation": SegmentationConfig,
    "reconstruction": ReconstructionConfig,
    "association": AssociationConfig,
    "cloud": CloudConfig,
    "superpoints": SuperpointConfig,
    "words": WordsConfig,
    "clicks": ClicksConfig,
}

ALIASES = {"prompts": "segmentation.prompts", "segmenter": "segmentation.segmenter", "method": "association.method"}
"""Short names for launch files and the nodes' command lines; where both are given the short one wins."""


@dataclass(frozen=True)
class Config:
    """The whole configuration, passed as one value."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    association: AssociationConfig = field(default_factory=AssociationConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    superpoints: SuperpointConfig = field(default_factory=SuperpointConfig)
    words: WordsConfig = field(default_factory=WordsConfig)
    clicks: ClicksConfig = field(default_factory=ClicksConfig)

    def flat(self) -> dict[str, Value]:
        """All parameters as ``section.name: value``."""
        return {
            f"{section}.{f.name}": getattr(getattr(self, section), f.name)
            for section, cls in SECTIONS.items()
            for f in dataclasses.fields(cls)
        }

    def to_yaml(self, nodes: str = "/**") -> str:
        """A ROS 2 parameter file that states every parameter; ``load`` reads it back."""
        tree: dict[str, dict[str, Any]] = {}
        for key, value in self.flat().items():
            section, name = key.split(".")
            tree.setdefault(section, {})[name] = list(value) if isinstance(value, tuple) else value
        return yaml.safe_dump({nodes: {"ros__parameters": tree}}, sort_keys=False, allow_unicode=True)


def declarations() -> dict[str, Declaration]:
    """All parameters by ``section.name``, in their order of declaration."""
    return {key: d for section, cls in SECTIONS.items() for key, d in declarations_of(cls, f"{section}.").items()}


def make_config(values: Mapping[str, Any], base: Config | None = None, *, source: str = "") -> Config:
    """A configuration from ``section.name`` keys over ``base``; ``source`` begins the message about a bad one.

    Raises:
        UsageError: an unknown key (with the nearest known one) or a bad value.
    """
    known = declarations()
    merged = (base or Config()).flat()
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{source}unknown parameter {shown(key)}{nearest(key, known)}")
        merged[key] = known[key].check(value, source)
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for key, value in merged.items():
        section, name = key.split(".")
        sections[section][name] = value
    return Config(**{name: cls(**sections[name]) for name, cls in SECTIONS.items()})


def read_parameters(path: Path, *, core_only: bool = False) -> dict[str, Any]:
    """``section.name: value`` from a ROS 2 parameter file or plain nested YAML.

    Args:
        path: the file.
        core_only: resolve short names, and leave out the plain names of a ROS 2 parameter file: they are the nodes' own.

    Raises:
        UsageError: not a readable YAML mapping.
    """
    tree = read_yaml(path, error=UsageError)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: expected 'section: {{name: value}}', got {type(tree).__name__}")
    bodies = [body["ros__parameters"] for body in tree.values() if isinstance(body, dict) and "ros__parameters" in body]
    values: dict[str, Any] = {}
    for body in bodies or [tree]:
        if not isinstance(body or {}, dict):
            raise UsageError(f"{path}: expected 'section: {{name: value}}', got {shown(body)}")
        for section, entries in (body or {}).items():
            if isinstance(entries, dict):
                values.update({f"{section}.{name}": value for name, value in entries.items()})
            else:
                values[str(section)] = entries
    if not core_only:
        return values
    values.update({name: values.pop(alias) for alias, name in ALIASES.items() if alias in values})
    return {key: value for key, value in values.items() if "." in key or not bodies}


def load_config(
    *, preset: str = "default", file: Path | None = None, overrides: Mapping[str, Any] = types.MappingProxyType({})
) -> Config:
    """The effective configuration: overrides over file over preset over defaults."""
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}: choose {', '.join(PRESETS)}{nearest(preset, PRESETS)}")
    config = make_config({key: value for key, (value, _) in PRESETS[preset].values.items()})
    if file is not None:
        config = make_config(read_parameters(file, core_only=True), config, source=f"{file}: ")
    return make_config(overrides, config)
