"""A session store that has lost its sessions: whether it has, and what continues meanwhile."""
