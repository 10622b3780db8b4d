"""Connected clients: who they are, the guards on their events, and what a change of their session does to them."""
