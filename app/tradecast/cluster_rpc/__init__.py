"""Requests to all servers: fetch their clients, let these join, leave or disconnect, and get their acknowledgements."""

from tradecast.cluster_rpc.api import ClusterApi
from tradecast.cluster_rpc.cluster import Cluster
from tradecast.cluster_rpc.errors import Incomplete, TooLarge
from tradecast.cluster_rpc.results import Acknowledged, ClientAnswer, RemoteSocket

__all__ = ("Acknowledged", "ClientAnswer", "Cluster", "ClusterApi", "Incomplete", "RemoteSocket", "TooLarge")
