"""Market data over slow links: the newest quote's age, with tradecast, Node's Socket.IO and python-socketio.

`make bench-delivery`. It needs Linux with two cores, Node.js with npm, redis-server and cargo. Load stays on 127.0.0.1.
"""
