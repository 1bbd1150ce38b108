"""Consoles on the ground: DDS client, recorder, live view. Work without a ROS installation."""
