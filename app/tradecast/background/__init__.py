"""Background tasks, and coroutines that are stepped where nothing has to be waited for."""
