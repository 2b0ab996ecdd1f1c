# The one image of Watchbell: the binary on a slim Debian, as an ordinary user. Any builder makes it, BuildKit or not.
#   docker build -t watchbell .
#   docker run --rm -p 127.0.0.1:7700:7700 watchbell up --listen 0.0.0.0:7700 --expose   # to try it; the address is printed

# Tags, which can be moved; `release/pin.py --others` finds the digests of today.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# aws-lc, the TLS library's cryptography, is C and assembler.
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies are compiled first, from the manifests and empty sources: this takes most of the time, and is kept until
# a manifest changes. Cargo wants every package of the workspace to be there.
COPY Cargo.toml Cargo.lock ./
COPY workers/dispatch/Cargo.toml workers/dispatch/
COPY workers/fallback/Cargo.toml workers/fallback/
COPY workers/fleet/Cargo.toml workers/fleet/
COPY workers/ingest/Cargo.toml workers/ingest/
COPY workers/simulator/Cargo.toml workers/simulator/
COPY workers/socket/Cargo.toml workers/socket/
COPY tests/Cargo.toml tests/
COPY tests/benches tests/benches
COPY examples/rust examples/rust
RUN for package in . tests workers/*; do mkdir -p "$package/src" && touch "$package/src/lib.rs"; done \
 && rm workers/fleet/src/lib.rs && echo 'fn main() {}' >workers/fleet/src/main.rs \
 && cargo build --release --locked --bin watchbell
COPY . .
# Cargo goes by the time of a file, and these are older than what was just built from the empty ones.
RUN touch src/lib.rs workers/*/src/lib.rs workers/fleet/src/main.rs \
 && cargo build --release --locked --bin watchbell

FROM ${DEBIAN_IMAGE}
# Certificates to check Apple, Google and the mail relay against; nothing else is added.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 watchbell \
 && useradd -K UID_MAX=10001 --uid 10001 --gid watchbell --no-create-home --home-dir /var/lib/watchbell --shell /usr/sbin/nologin watchbell \
 && install -d -o watchbell -g watchbell /var/lib/watchbell /var/lib/watchbell/watchbell-data
COPY --from=build /build/target/release/watchbell /usr/local/bin/watchbell
# `watchbell.toml` is read from here. What a process may write is in `watchbell-data`, and only the demo and `up` do; a
# volume laid there is theirs.
WORKDIR /var/lib/watchbell
USER 10001:10001
EXPOSE 7700
# SIGTERM starts the drain (I10), which takes up to 25 s: stop with a longer grace.
STOPSIGNAL SIGTERM
ENTRYPOINT ["watchbell"]
CMD ["--help"]
