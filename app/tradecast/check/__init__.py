"""`tradecast check`: reports what would run with these settings, and what is wrong. No server is started."""
