from typing import Any

MESSAGE: int

class Packet:
    data: Any
    packet_type: int
    binary: bool
    def __init__(self, packet_type: int = ..., data: Any = ..., encoded_packet: Any = ...) -> None: ...
    def encode(self, b64: bool = ...) -> Any: ...
