"""The only simulation modules that know ROS."""
