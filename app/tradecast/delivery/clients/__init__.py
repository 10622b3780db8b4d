"""The clients of this server: who they are, what is delivered to them, and what is kept so that they can recover."""
