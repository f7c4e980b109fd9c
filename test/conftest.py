"""On a ROS distribution, importing launch makes every later logger one that does not propagate: ``caplog`` and handlers of
the package's logger would see nothing. The nodes themselves never import it, so it is imported here, and undone."""

import contextlib
import logging

with contextlib.suppress(ImportError):
    import launch.logging  # noqa: F401
logging.setLoggerClass(logging.Logger)
