"""Satellite and ground in real time with a real modem between them."""

from launch import LaunchDescription

from eo_nodes.graph.launching import graph_description


def generate_launch_description() -> LaunchDescription:
    """Return the actions of the profile, as config/graph.yaml describes it."""
    return graph_description("hil")
