# One image for the server, the demo, its feed and the command line. `make image` builds it; docs/image.md tells more.
# Nothing here needs BuildKit.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /opt/tradecast
ENV PATH=/opt/tradecast/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# What is pinned changes seldom: a layer of its own. The demo's prices come without what else their package wants
# (pandas and numpy, 150 MB), which reading them does not need.
RUN python3 -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['operator'], *project['optional-dependencies']['sentry'], sep='\n')" > requirements.txt \
    && pip install --no-compile -c constraints.txt -r requirements.txt \
    && pip install --no-compile --no-deps "$(grep -i '^bokeh_sampledata==' constraints.txt)"
COPY README.md LICENSE ./
COPY app app
COPY operator operator
# Bytecode is made now: the root file system is read-only later. By hash, since layers do not keep times of change.
RUN pip install --no-compile --no-deps . \
    && find /opt/tradecast -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/tradecast/lib \
    && pip uninstall -q -y pip setuptools 2>/dev/null; test ! -e /opt/tradecast/bin/pip

FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title=tradecast \
      org.opencontainers.image.description="Pushes portfolio, trade, quote, notification and market events over Socket.IO" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
COPY --from=build /opt/tradecast /opt/tradecast
# HOME is a place that any user may write to: OpenShift runs the image as a user that /etc/passwd does not know.
ENV PATH=/opt/tradecast/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that Kubernetes can tell that it is not root (runAsNonRoot).
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 9100
# No shell in between: signals reach the server, which drains and ends with 0.
ENTRYPOINT ["tradecast"]
CMD ["serve"]
