"""What a server asks of all servers: who their clients are, that they join, leave and go, and answers of theirs."""

from tradecast.adapter.cluster.api import ClusterApi
from tradecast.adapter.cluster.cluster import Cluster
from tradecast.adapter.cluster.errors import Incomplete, TooLarge
from tradecast.adapter.cluster.results import Acknowledged, ClientAnswer, RemoteSocket

__all__ = ("Acknowledged", "ClientAnswer", "Cluster", "ClusterApi", "Incomplete", "RemoteSocket", "TooLarge")
