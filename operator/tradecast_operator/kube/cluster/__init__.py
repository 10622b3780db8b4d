"""What the cluster has to have before fleets can be controlled: its version, and the CRD."""
