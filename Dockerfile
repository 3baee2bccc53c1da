# One image for watcher, worker, scanner and matcher: docker build -t kube-sluice:0.1.0 .
# Tags, so that a checkout builds anywhere; production passes both by digest:
#   --build-arg BASE_IMAGE=docker.io/library/python@sha256:… --build-arg TRIVY_IMAGE=…@sha256:…
# Python has the minor version that the suite runs on, Trivy the version that its wheel has there.
ARG BASE_IMAGE=docker.io/library/python:3.11.14-slim-trixie
ARG TRIVY_IMAGE=docker.io/aquasec/trivy:0.76.0

FROM ${TRIVY_IMAGE} AS trivy

FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
# Dependencies first: they change rarely. The environment gets no pip: nothing installs at run time.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/sluice \
    && pip --python /opt/sluice/bin/python install --require-hashes --no-deps -r requirements/run.txt \
    && pip install --require-hashes --no-deps -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY watcher watcher
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/sluice/bin/python install --no-deps --no-index /wheels/*.whl

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="kube-sluice" \
      org.opencontainers.image.description="Keeps vulnerability and configuration reports true for every workload of a Kubernetes cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=trivy /usr/local/bin/trivy /usr/local/bin/trivy
COPY --from=builder /opt/sluice /opt/sluice
# The scanner is a user of its own (65533) in the same group.
RUN install -d -o 65532 -g 65532 -m 0770 /var/lib/sluice
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
# Metrics, probes, the match server. Chart and compose probe them; each knows what it runs.
EXPOSE 8080 9090 4954
HEALTHCHECK NONE
ENTRYPOINT ["sluice"]
