"""What is made of an event before it is sent to the clients of this server."""
