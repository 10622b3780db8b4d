"""For clients of a server: live quotes over a python-socketio client (`quotes`), or in JavaScript (`quotes.mjs`).

Nothing here imports the server, nor anything that is not in Python itself.
"""
