"""Label once in 2D, know the object in 3D and in every image that shows it.

Unordered street-level images and a text label in; a labelled 3D point cloud and instance tracks out.
The core (everything outside ``ros`` and ``nodes``) does not know ROS; heavy libraries are imported where they are used.
"""

__version__ = "0.1.0"
