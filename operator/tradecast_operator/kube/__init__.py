"""Everything that reads or writes Kubernetes."""
