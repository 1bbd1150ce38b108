"""What processes and nodes there are, in what order, with what parameters. No ROS, no processes."""
