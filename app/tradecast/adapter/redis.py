"""Redis clients, all made the same way: time-outs, retries, TLS, ACL, Sentinel."""
