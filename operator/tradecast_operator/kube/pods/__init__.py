"""The pods of a fleet, with the few fields that are needed: thousands of them fit."""
