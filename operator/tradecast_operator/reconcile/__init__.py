"""The rounds of each fleet: observe, plan, act, report."""
