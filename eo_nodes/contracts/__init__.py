"""What every room may know: plain values, ids, topic names, QoS. No ROS, no I/O."""
