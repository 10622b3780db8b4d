"""One server on one core, the load on another: tradecast against other Socket.IO servers, doing the same work.

    make bench-single

`docs/benchmarks.md` says what is measured, how to read it, and how to repeat it.
"""
