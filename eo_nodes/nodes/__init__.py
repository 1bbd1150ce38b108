"""ROS 2 nodes: parameters, topics and timers around the cores; no decisions here."""
