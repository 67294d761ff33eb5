# hostsweep in a container: build with `docker build -t hostsweep .`, and see docs/deployment.md for how to run it.
#
# BASE is an argument so that providers can build on their own image; it needs Debian's or Ubuntu's apt and Python 3.11+.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# A private certificate authority for the package index, if yours has one (a path inside the build).
ARG PIP_CERT
# A base without Python (a bare Debian) gets it here; the official image has it already.
RUN python3 -c 'import venv, ensurepip' 2>/dev/null || \
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*; }
WORKDIR /src
COPY constraints.txt pyproject.toml README.md ./
RUN python3 -m venv /opt/hostsweep && \
    /opt/hostsweep/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r constraints.txt
COPY scanner ./scanner
RUN /opt/hostsweep/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM ${BASE}
RUN python3 -c 'import sys' 2>/dev/null || \
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /opt/hostsweep /opt/hostsweep
ENV PATH=/opt/hostsweep/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# The state: ledger, catalog, lists and, unless configured elsewhere, the vault. Keep it on a volume, and back it up.
VOLUME /var/lib/hostsweep
EXPOSE 9797
# Not root by default: enough for trees that this user may read, with --state-dir on a volume it owns. To scan and secure customers'
# files on a host's volumes, run with `--user 0 --cap-drop ALL` and the capabilities that docs/deployment.md lists, each with its reason.
USER 65534:65534
# /healthz says that the process is alive; /readyz, for the orchestrator, that lists are fresh and the vault can be written.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9797/healthz', timeout=4)"]
ENTRYPOINT ["hostsweep"]
CMD ["daemon"]
