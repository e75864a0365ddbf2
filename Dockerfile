# The server in an image without a shell: docker build -t switchboard .
FROM rust:1-bookworm AS build
WORKDIR /switchboard
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/switchboard/target \
    cargo build --locked --release --bin switchboard && install -D target/release/switchboard /image/usr/bin/switchboard && mkdir /image/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=nonroot:nonroot /image /
# A container is reached from outside: without a key the server refuses to start there, and says what to set.
ENV SWITCHBOARD_LISTEN=0.0.0.0:3000 SWITCHBOARD_DATA=/data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/bin/switchboard", "health"]
ENTRYPOINT ["/usr/bin/switchboard"]
