"""On a ROS distribution launch comes along as a pytest plugin, and makes every later logger one that does not propagate:
``caplog`` and handlers of the package's logger would see nothing. The nodes themselves never import launch."""

import logging

logging.setLoggerClass(logging.Logger)
