//! What is done about an address that cannot be listened on.

use std::io::ErrorKind;

/// The remedy; `by` is how another address is given: a setting, or an option.
pub fn remedy_of(why: ErrorKind, by: &str) -> String {
    match why {
        ErrorKind::AddrInUse => {
            format!(
                "another program listens there: stop it (`ss -ltnp` names it), or give another port with {by}"
            )
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 are the administrator's: give a higher one with {by}")
        }
        ErrorKind::AddrNotAvailable => {
            format!("this machine does not have that address: give one that it has with {by}")
        }
        _ => format!("give another address with {by}"),
    }
}

#[test]
fn each_cause_has_its_remedy() {
    for (why, says) in [
        (ErrorKind::AddrInUse, "another program"),
        (ErrorKind::PermissionDenied, "below 1024"),
        (ErrorKind::AddrNotAvailable, "does not have that address"),
        (ErrorKind::Other, "another address"),
    ] {
        let remedy = remedy_of(why, "--listen");
        assert!(remedy.contains(says) && remedy.ends_with("with --listen"), "{remedy}");
    }
}
