"""What a server asks of all servers: who their clients are, that they join, leave and go, and answers of theirs."""

from tradecast.cluster_rpc.api import ClusterApi
from tradecast.cluster_rpc.cluster import Cluster
from tradecast.cluster_rpc.errors import Incomplete, TooLarge
from tradecast.cluster_rpc.results import Acknowledged, ClientAnswer, RemoteSocket

__all__ = ("Acknowledged", "ClientAnswer", "Cluster", "ClusterApi", "Incomplete", "RemoteSocket", "TooLarge")
