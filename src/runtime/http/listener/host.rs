//! The host that a request is for (RFC 9112, section 3.2).

use axum::http::{HeaderMap, Request, Version, header, uri::Authority};

use crate::wire::Problem;

/// The host that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runtime::http) struct Host(Authority);

/// The host of a request, of the target where it names one, else of the header. `None` only for HTTP/1.0, which need not
/// say.
///
/// # Errors
/// 400 for none, for more than one, and for one that is none: whoever stands in between might have read another.
pub(in crate::runtime::http) fn host_of<B>(request: &Request<B>) -> Result<Option<Host>, Problem> {
    let in_header = in_header(request.headers())?;
    if in_header.is_none() && request.version() != Version::HTTP_10 {
        return Err(Problem::malformed("A request must have one `Host` header."));
    }
    Ok(request.uri().authority().cloned().map(Host).or(in_header))
}

fn in_header(headers: &HeaderMap) -> Result<Option<Host>, Problem> {
    let mut all = headers.get_all(header::HOST).iter();
    let (Some(given), None) = (all.next(), all.next()) else {
        return match headers.contains_key(header::HOST) {
            true => Err(Problem::malformed("A request must have one `Host` header, not several.")),
            false => Ok(None),
        };
    };
    let host = Authority::try_from(given.as_bytes()).ok().filter(|host| !host.as_str().contains('@'));
    match host {
        Some(host) => Ok(Some(Host(host))),
        None => Err(Problem::malformed("The `Host` header must be a host, with or without a port.")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_host() {
        for (why, version, target, hosts, expected) in [
            ("one", Version::HTTP_11, "/", &["a.example:7700"][..], Ok(Some("a.example:7700"))),
            ("an address", Version::HTTP_11, "/", &["[::1]:7700"], Ok(Some("[::1]:7700"))),
            ("none", Version::HTTP_11, "/", &[], Err(400)),
            ("none, of a version that need not say", Version::HTTP_10, "/", &[], Ok(None)),
            ("two", Version::HTTP_11, "/", &["a.example", "b.example"], Err(400)),
            ("twice the same", Version::HTTP_11, "/", &["a.example", "a.example"], Err(400)),
            ("two of the older version", Version::HTTP_10, "/", &["a.example", "b.example"], Err(400)),
            ("nothing in it", Version::HTTP_11, "/", &[""], Err(400)),
            ("two in one", Version::HTTP_11, "/", &["a.example, b.example"], Err(400)),
            ("with a name before it", Version::HTTP_11, "/", &["a.example@b.example"], Err(400)),
            (
                "the target names another",
                Version::HTTP_11,
                "http://b.example/",
                &["a.example"],
                Ok(Some("b.example")),
            ),
            ("only the target names one", Version::HTTP_11, "http://b.example/", &[], Err(400)),
        ] {
            let mut request = Request::builder().version(version).uri(target);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let found = host_of(&request.body(()).unwrap());
            let found = found.map_err(|problem| problem.status);
            let expected = expected.map(|host| host.map(|host| Host(host.parse().unwrap())));
            assert_eq!(found, expected, "{why}");
        }
    }
}
