# syntax=docker/dockerfile:1

# Build: the toolchain of rust-toolchain.toml. The registry and the compiled dependencies are kept between builds in
# cache mounts; only the one binary leaves this stage.
FROM rust:1.95-bookworm AS build
# The image has this toolchain without the components that rust-toolchain.toml wants for development.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin maru \
    && install -D --strip target/release/maru /out/usr/local/bin/maru \
    && install -d -o 65532 -g 65532 /out/cache

# Run on the CPU: glibc, certificates and the binary with its demo model; no shell, no package manager, no root.
FROM gcr.io/distroless/cc-debian12:nonroot AS cpu
LABEL org.opencontainers.image.title="Maru" \
      org.opencontainers.image.description="OpenAI-compatible inference server for EXAONE language models" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
# Models from the hub land here: mount a volume to keep them.
ENV HF_HOME=/cache \
    MARU__SERVER__HOST=0.0.0.0 \
    MARU__SERVER__PORT=8000 \
    MARU__LOG__FORMAT=json
USER 65532:65532
EXPOSE 8000
# SIGTERM drains: give it `server.drain_delay_s` and `server.drain_timeout_s`, as deploy/compose.yaml does.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=5m --retries=2 CMD ["/usr/local/bin/maru", "health"]
ENTRYPOINT ["/usr/local/bin/maru"]
CMD ["serve"]
