"""What all tests share.

* Property tests draw the same examples each time, so that a red test is the change's doing. To look for new ones:
  ``pytest --hypothesis-profile=explore``.
* On a ROS distribution, importing launch makes every later logger one that does not propagate: ``caplog`` and handlers of
  the package's logger would see nothing. The nodes themselves never import it, so it is imported here, and undone.
* A shell starts background jobs with SIGINT ignored, which their processes inherit; here it interrupts, as in a terminal.
"""

import contextlib
import logging
import signal

from hypothesis import settings

with contextlib.suppress(ImportError):
    import launch.logging  # noqa: F401
logging.setLoggerClass(logging.Logger)
with contextlib.suppress(ValueError):  # not in the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("fixed", derandomize=True)
settings.register_profile("explore", derandomize=False, print_blob=True)
settings.load_profile("fixed")
