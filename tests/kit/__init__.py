"""What tests and benchmarks are made with; it is no test itself.

- `waiting`, `clock`: the one way to wait for what cannot be awaited, and a clock that tests set.
- `servers`: ours in the test's loop (`in_process`) or as a program (`process`), Redis, Sentinel, Cluster, MongoDB,
  Prometheus, Express; and what is wrong with them (`troubles`, `scripted_redis`).
- `processes`: how such a service is started, frozen and ended.
- `clients`: standard clients of Node and Python, a browser, raw bytes, and floods of them.
- `network`: the one TCP proxy (`proxy`) and what it is made into, ports, certificates.
- `contracts`: what every broker and every store of limits must do, to be inherited by its tests.
- `delivery`: brokers and hubs in memory, whose network a test controls.
- `kubernetes`: the API of Kubernetes in memory, fleets for the operator, its tools.
- `parsing`: what holds for any bytes; properties and the fuzzer share it.
- `metrics`: names in PromQL, queries of dashboards, values.
- `programs`: servers that tests start as programs of their own.
- `pytest_plugins`: how many tests run at once, and how patient they are.
"""
