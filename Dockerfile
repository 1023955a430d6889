# The programs of Holdfast, and the Temporal server they are tested with. One file, a target for each image.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --workspace \
    && install -D -t /out target/release/holdfast target/release/holdfast-worker target/release/holdfast-dev

FROM golang:1.26-bookworm AS temporal-build
WORKDIR /src
COPY tools/temporal .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir /out && CGO_ENABLED=0 ./build /out temporal temporal-server temporal-sql-tool temporal-ui

FROM debian:bookworm-slim AS base
# Whose certificates are believed: payment provider, identity provider, mail, webhooks.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home holdfast && install -d -o holdfast -g holdfast /data
USER holdfast

FROM base AS temporal
COPY --from=temporal-build /out/ /usr/local/bin/
COPY deploy/temporal/schema deploy/temporal/serve deploy/temporal/namespace /usr/local/bin/
COPY deploy/temporal/dynamic.yaml /etc/temporal/
COPY deploy/temporal/ui /etc/temporal/ui

FROM base AS holdfast
COPY --from=build /out/ /usr/local/bin/
COPY deploy/compose/healthy /usr/local/bin/
CMD ["holdfast", "serve"]
