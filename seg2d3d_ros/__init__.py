"""Label once in 2D, know the object in 3D and in every image that shows it.

Unordered street-level images and a text label in; a labelled 3D point cloud and instance tracks out.
The core (everything outside ``ros`` and ``nodes``) does not know ROS; heavy libraries are imported where they are used.
"""

__all__ = ["associate", "open_map", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The functions are imported when they are asked for: ``import seg2d3d_ros`` alone takes no time, and what lies below them
    may ask for the version. Their types are in ``__init__.pyi``."""
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("seg2d3d_ros.api.functions"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
