"""The HTTP routes beside Socket.IO, on the public and on the admin port."""
