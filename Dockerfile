# hostsweep as an image. Build: `docker build -t hostsweep .` (or buildah, podman).
#
#   docker run --rm -v /srv/www:/srv/www:ro -v "$PWD/list.txt:/list.txt:ro" hostsweep scan /srv/www --feed /list.txt
#
# As it is it runs as user 10001 and reads what everybody may read. For whole volumes of a host it has to be root
# with a few rights; docs/deployment.md has the command, with what each mount and right is for.

# Any Debian-like image with Python 3.11 or newer and its venv module.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# For networks with their own certificate authority, mirror, or none at all: what pip knows by these names.
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# A compiler for the extensions that list directories, pack the catalog and search lists. Where there is none to be
# had, Python does it, slower.
RUN command -v gcc >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; } \
    || echo "no compiler: Python will list directories, pack the catalog and search lists"
RUN python3 -m venv /opt/hostsweep
# Dependencies first, by version and digest: they are built anew only when the list changes. What builds
# hostsweep itself is pinned too; nothing else is fetched.
COPY constraints.txt constraints-build.txt ./
RUN /opt/hostsweep/bin/pip install --require-hashes -r constraints.txt -r constraints-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY scanner ./scanner
COPY native ./native
# pip leaves, since nothing is installed into a running container.
RUN /opt/hostsweep/bin/pip install --no-deps --no-build-isolation . \
    && /opt/hostsweep/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="hostsweep" \
      org.opencontainers.image.description="Finds and secures known illegal material by hash" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 hostsweep \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/hostsweep --shell /usr/sbin/nologin hostsweep \
    && install -d -o hostsweep -g hostsweep -m 0700 /var/lib/hostsweep \
    && install -d -m 0755 /etc/hostsweep
COPY --from=build /opt/hostsweep /opt/hostsweep
# XDG_STATE_HOME: root and others keep their state at the same place. Logs are for machines here.
ENV PATH=/opt/hostsweep/bin:$PATH \
    XDG_STATE_HOME=/var/lib \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
# Catalog, ledger, lists and vault: what has to outlive the container.
VOLUME /var/lib/hostsweep
# /metrics, /healthz and /readyz, if http.listen is not left on the loopback address.
EXPOSE 9797
# Alive, not ready: a restart doesn't make an overdue list younger. With another http.listen, or for a single scan,
# give --health-cmd or --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9797, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
USER hostsweep
ENTRYPOINT ["hostsweep"]
CMD ["--log-format", "json", "daemon"]
