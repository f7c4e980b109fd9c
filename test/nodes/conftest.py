"""What the tests of nodes share: a ROS context for each test, on a domain that no other test process uses."""

from __future__ import annotations

import pytest


@pytest.fixture
def world():
    """A ``helpers_ros.Ros``, closed in the end."""
    pytest.importorskip("rclpy")
    from helpers_ros import own_domain, ros

    with ros(own_domain()) as made:
        yield made
