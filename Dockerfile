# One image for watcher, worker, scanner and matcher: docker build -t kube-sluice:0.1.0 .
# (BuildKit builds it: what `docker build` and `docker compose build` use since Docker 23.)
# Tags, so that a checkout builds anywhere; production passes them by digest:
#   --build-arg BASE_IMAGE=docker.io/library/python:3.11.14-slim-trixie@sha256:… and so on
# Python has the minor version that the suite runs on, Trivy the version that its wheel has there.
# BUILD_IMAGE needs pip and a shell. BASE_IMAGE needs neither: only Python, at the same path, and
# CA certificates of it are used.
ARG BASE_IMAGE=docker.io/library/python:3.11.14-slim-trixie
ARG BUILD_IMAGE=${BASE_IMAGE}
ARG TRIVY_IMAGE=docker.io/aquasec/trivy:0.76.0
# For `--target sandbox` alone: an image with etcd, kube-apiserver and so on in /programs.
ARG SANDBOX_PROGRAMS=programs-built

FROM ${TRIVY_IMAGE} AS trivy

# Dependencies first: they change rarely. The environment gets no pip: nothing installs at run time.
FROM ${BUILD_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Where pip finds the locked wheels, in a network with a mirror or without a way out.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
WORKDIR /source
COPY requirements/run.txt requirements/
RUN python -m venv --without-pip /opt/sluice \
    && pip --python /opt/sluice/bin/python install --require-hashes --no-deps -r requirements/run.txt
# Two thirds of it are generated clients that we never import (`common/kube/connect.py`).
RUN rm -r /opt/sluice/lib/python3*/site-packages/kubernetes/aio /opt/sluice/lib/python3*/site-packages/kubernetes/client/api

# What ours adds to it, below /product: a small layer of its own.
FROM dependencies AS builder
COPY requirements/build.txt requirements/
RUN pip install --require-hashes --no-deps -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY watcher watcher
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/sluice/bin/python install --no-deps --no-index --root /product /wheels/*.whl \
    && install -d -o 65532 -g 65532 -m 0770 /data/var/lib/sluice

# The image's own list of parts, which scanners read: CycloneDX.
FROM builder AS sbom
RUN --mount=from=trivy,source=/usr/local/bin/trivy,target=/parts/usr/local/bin/trivy \
    --mount=from=dependencies,source=/opt/sluice,target=/parts/opt/sluice \
    --mount=from=builder,source=/product/opt/sluice,target=/parts/opt/kube-sluice \
    mkdir -p /sbom/usr/local/share/sbom \
    && /parts/usr/local/bin/trivy rootfs --quiet --offline-scan --cache-dir /tmp/trivy \
        --format cyclonedx --output /sbom/usr/local/share/sbom/kube-sluice.cdx.json /parts

FROM ${BASE_IMAGE} AS product
COPY --from=trivy /usr/local/bin/trivy /usr/local/bin/trivy
COPY --from=dependencies /opt/sluice /opt/sluice
COPY --from=sbom /sbom /
COPY --from=builder /product /
# Owner, group and mode come along: the scanner is a user of its own (65533) in the same group.
COPY --from=builder /data /
# Nobody writes bytecode: pip compiled it, and the root is read-only.
ENV PATH=/opt/sluice/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/sluice \
    PYTHONSAFEPATH=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SLUICE_DATA_DIR=/var/lib/sluice
WORKDIR /
# All that is ever written to.
VOLUME ["/tmp", "/var/lib/sluice"]
USER 65532:65532
# Metrics, status page, probes, the match server. Chart and compose probe them.
EXPOSE 8080 8081 9090 4954
# For `docker run` of watcher, worker or matcher; the scanner has no port, and Compose asks it so:
# python -m common.ops.healthcheck scanner
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s \
    CMD ["python", "-m", "common.ops.healthcheck"]
ENTRYPOINT ["sluice"]
ARG BASE_IMAGE
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="kube-sluice" \
      org.opencontainers.image.description="Keeps vulnerability and configuration reports true for every workload of a Kubernetes cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      kube-sluice.sbom="/usr/local/share/sbom/kube-sluice.cdx.json"

# A cluster to try it on: control plane, registry, samples. Nothing of it is in the product's image.
FROM dependencies AS sandbox-source
COPY common common
COPY sandbox sandbox

# Minutes, once: Go, as a wheel, builds them from pinned modules.
FROM sandbox-source AS programs-built
RUN PYTHONPATH="$(echo /opt/sluice/lib/python3*/site-packages)" python -m sandbox.stand programs /programs

FROM ${SANDBOX_PROGRAMS} AS programs

FROM ${BUILD_IMAGE} AS sandbox
COPY --from=programs /programs /usr/local/bin
COPY --from=dependencies /opt/sluice /opt/sluice
COPY --from=sandbox-source /source /opt/sandbox
ENV PATH=/opt/sluice/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONPATH=/opt/sandbox \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
EXPOSE 6443 5000
ENTRYPOINT ["python", "-m", "sandbox.stand"]
CMD ["/tmp/sandbox", "/run/sandbox/kubeconfig"]

# Without `--target`, this is built.
FROM product
