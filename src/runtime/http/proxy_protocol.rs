//! The PROXY protocol, version 2: a balancer that passes bytes through says first who the client is.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header accepted, in bytes, with the extensions balancers add.
const LENGTH_MAX: u16 = 1024;

/// Reads the header. `None` when the balancer speaks for itself (a health check) or of a family we do not know.
///
/// # Errors
/// No header of version 2, or the connection ended in the middle of it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let length = u16::from_be_bytes([head[14], head[15]]);
    if head[..12] != SIGNATURE || head[12] >> 4 != 2 || length > LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a PROXY protocol v2 header"));
    }
    let mut rest = vec![0; length.into()];
    stream.read_exact(&mut rest).await?;
    let is_local = head[12] & 0xf == 0;
    let source = match head[13] >> 4 {
        1 => rest.first_chunk::<4>().map(|bytes| IpAddr::from(Ipv4Addr::from(*bytes))),
        2 => rest.first_chunk::<16>().map(|bytes| IpAddr::from(Ipv6Addr::from(*bytes))),
        _ => None,
    };
    Ok(source.filter(|_| !is_local).map(|source| source.to_canonical()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family << 4 | 1], &length, addresses].concat()
    }

    #[tokio::test]
    async fn the_client_is_who_the_balancer_says() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let v6 = [Ipv6Addr::LOCALHOST.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
        for (why, bytes, expected) in [
            ("version 4", header(1, 1, &v4), Some("203.0.113.9")),
            ("version 6", header(1, 2, &[&v6[..], &[0; 4]].concat()), Some("::1")),
            (
                "with an extension behind",
                header(1, 1, &[&v4[..], &[4, 0, 1, 0]].concat()),
                Some("203.0.113.9"),
            ),
            ("the balancer itself", header(0, 1, &v4), None),
            ("a UNIX socket", header(1, 3, &[0; 216]), None),
        ] {
            let mut stream = [&bytes[..], b"GET"].concat();
            let mut rest = stream.as_mut_slice() as &[u8];
            let read = read(&mut rest).await.unwrap();
            assert_eq!(read, expected.map(|raw| raw.parse().unwrap()), "{why}");
            assert_eq!(rest, b"GET", "{why}: not a byte more is read");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x11",
        ] {
            assert!(read(&mut &*bytes).await.is_err());
        }
        let long = header(1, 1, &[0; 2000]);
        assert!(read(&mut long.as_slice()).await.is_err(), "too long");
    }
}
