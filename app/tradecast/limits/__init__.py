"""How much a user may do: rates of events, and quotas of subscriptions and connections."""
