# The one image of Watchbell: the binary on a slim Debian, as an ordinary user.
#   docker build -t watchbell .
#   docker run --rm -p 127.0.0.1:7700:7700 watchbell up --listen 0.0.0.0:7700 --expose   # to try it; the address is printed

FROM rust:1.95-slim-bookworm AS build
# aws-lc, the TLS library's cryptography, is C and assembler.
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches keep crates and objects between builds; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin watchbell \
 && cp target/release/watchbell /watchbell

FROM debian:bookworm-slim
# Certificates to check Apple, Google and the mail relay against; nothing else is added.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home watchbell \
 && install -d -o watchbell -g watchbell /var/lib/watchbell
COPY --from=build /watchbell /usr/local/bin/watchbell
# What a worker may write; only the simulator and `up` do. A volume laid here is theirs.
WORKDIR /var/lib/watchbell
USER 10001:10001
EXPOSE 7700
# SIGTERM starts the drain (I10), which takes up to 25 s: stop with a longer grace.
STOPSIGNAL SIGTERM
ENTRYPOINT ["watchbell"]
CMD ["--help"]
