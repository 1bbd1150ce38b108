"""Satellite, ground and a simulated world in free running time."""

from eo_nodes.graph.launching import graph_description
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return the actions of the profile, as config/graph.yaml describes it."""
    return graph_description("sim")
