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
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/temporal github.com/temporalio/cli/cmd/temporal

FROM debian:bookworm-slim AS base
RUN useradd --system --uid 10001 --no-create-home holdfast && install -d -o holdfast -g holdfast /data
USER holdfast

FROM base AS temporal
COPY --from=temporal-build /out/temporal /usr/local/bin/
ENTRYPOINT ["temporal"]

FROM base AS holdfast
COPY --from=build /out/ /usr/local/bin/
CMD ["holdfast", "serve"]
