"""What is raised for invalid settings."""


class SettingsError(ValueError):
    """One or more settings are invalid; the text has a line for each, with the variable's name."""
