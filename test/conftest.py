"""What all tests share.

* Property tests draw the same examples each time, so that a red test is the change's doing. To look for new ones:
  ``pytest --hypothesis-profile=explore``.
* On a ROS distribution, importing launch makes every later logger one that does not propagate: ``caplog`` and handlers of
  the package's logger would see nothing. The nodes themselves never import it, so it is imported here, and undone.
"""

import contextlib
import logging

from hypothesis import settings

with contextlib.suppress(ImportError):
    import launch.logging  # noqa: F401
logging.setLoggerClass(logging.Logger)

settings.register_profile("fixed", derandomize=True)
settings.register_profile("explore", derandomize=False, print_blob=True)
settings.load_profile("fixed")
