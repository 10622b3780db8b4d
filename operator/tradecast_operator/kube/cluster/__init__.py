"""What the cluster has to have before fleets can be looked after: its version, and the CRD."""
