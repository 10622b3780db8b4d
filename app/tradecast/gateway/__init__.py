"""The Socket.IO server between the engine and the application: packets in, decisions above, packets out."""
