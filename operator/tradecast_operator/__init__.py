"""Runs fleets of tradecast servers on Kubernetes: replicas follow connections, nobody is dropped, Redis is tuned."""
