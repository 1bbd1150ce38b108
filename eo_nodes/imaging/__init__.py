"""From files and sensor messages to scenes, views and product files. No ROS."""
