from seg2d3d_ros.api.functions import associate, open_map, run

__all__ = ["associate", "open_map", "run"]
__version__: str
