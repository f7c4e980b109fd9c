"""What the map nodes write beside the map: effective configuration and report (figures: ``pipeline.figures``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from seg2d3d_ros.config import Config, make_config, read_parameters
from seg2d3d_ros.errors import Seg2d3dError, UsageError
from seg2d3d_ros.mapstore.store import MapStore

log = logging.getLogger(__name__)


def write_config_sections(store: MapStore, config: Config, sections: Sequence[str]) -> None:
    """Keep a node's own sections of the effective configuration in config.yaml, beside those of the other nodes."""
    path = store.root / "config.yaml"
    try:
        written = make_config(read_parameters(path)) if path.exists() else Config()
    except UsageError as error:
        log.warning("%s is written anew: %s", path, error)
        written = Config()
    own = {key: value for key, value in config.flat().items() if key.partition(".")[0] in sections}
    store.write_config(make_config(own, written))


def write_report_if_possible(store: MapStore) -> str:
    """report.html, or why not, in words; a map without its report is still a map."""
    from seg2d3d_ros.report import write_report

    try:
        return f"report {write_report(store.root)}"
    except Seg2d3dError as error:
        log.warning("no report: %s", error)
        return f"no report ({error})"
