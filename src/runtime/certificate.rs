//! Until when certificates are good. A certificate that ends takes a connection with it, and nothing says so before.

use anyhow::ensure;
use jiff::Timestamp;
use x509_parser::{parse_x509_certificate, pem::Pem};

/// Until when a certificate in DER is good.
///
/// # Errors
/// It is none.
pub fn end_of(der: &[u8]) -> anyhow::Result<Timestamp> {
    let read = parse_x509_certificate(der).map_err(|_| anyhow::anyhow!("is no certificate"));
    Ok(Timestamp::from_second(read?.1.validity().not_after.timestamp())?)
}

/// Until when each certificate of a PEM text is good. What else is in the text, such as a private key, is passed over.
///
/// # Errors
/// A part of it is no PEM, or calls itself a certificate and is none. Nothing of it is repeated.
pub fn certificates(pem: &[u8]) -> anyhow::Result<Vec<Timestamp>> {
    let mut ends = Vec::new();
    for block in Pem::iter_from_buffer(pem) {
        // The parser's own message may quote what it read.
        let block = block.map_err(|_| anyhow::anyhow!("is not PEM"))?;
        if block.label == "CERTIFICATE" {
            ends.push(end_of(&block.contents)?);
        }
    }
    ensure!(
        !ends.is_empty() || !pem.windows(11).any(|word| word == b"CERTIFICATE"),
        "has a certificate that is cut short"
    );
    Ok(ends)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn good_until_2036() -> String {
        let mut parameters = rcgen::CertificateParams::new(["broker.example.com".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2036, 11, 1);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_end_of_each_certificate_is_read() {
        let certificate = good_until_2036();
        let end: Timestamp = "2036-11-01T00:00:00Z".parse().unwrap();
        assert_eq!(certificates(certificate.as_bytes()).unwrap(), [end]);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        let all = format!("{certificate}\n{key}\n{certificate}");
        assert_eq!(certificates(all.as_bytes()).unwrap(), [end, end], "a key is passed over");
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n",
        ] {
            let error = certificates(text.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{text}: {error:?}");
        }
        assert_eq!(certificates(b"hunter2").unwrap(), [], "no certificate is there");
    }
}
