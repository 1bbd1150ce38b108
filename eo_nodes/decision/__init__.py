"""What to do with a request at a tap, and which regions are worth their bytes. No ROS."""
