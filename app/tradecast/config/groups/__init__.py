"""The settings in groups, each a model of its own: name, type, default, meaning. `Settings` inherits all of them."""
