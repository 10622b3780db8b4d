"""The events of the contract: what each carries and does."""
