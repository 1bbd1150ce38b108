"""Two satellites that share the stations, each with its ground, and a simulated world."""

from launch import LaunchDescription

from eo_nodes.graph.launching import graph_description


def generate_launch_description() -> LaunchDescription:
    """Return the actions of the profile, as config/graph.yaml describes it."""
    return graph_description("pair")
