//! An email address: one mailbox that a relay can be asked to deliver to (RFC 5321, section 4.1.2, with RFC 6531's UTF-8).
//!
//! What holds here:
//! - One mailbox has one form: its domain in lower case and in the ASCII form of IDNA, because that is what relays and name
//!   servers are asked; what stands before the `@` is kept as it is, because only the mailbox's own host knows whether case
//!   matters there.
//! - Nothing is taken that could not be sent to: a name around it, a comment, a line break, a part that is too long.
//! - An address is never repeated in a refusal (I12).

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::Secret;

/// The longest address, in bytes: <https://www.rfc-editor.org/errata/eid1690>.
pub const EMAIL_BYTES_MAX: usize = 254;
/// The longest part before the `@`, in bytes (RFC 5321, section 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// The longest part of a domain between two dots, in bytes (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is not an address, and what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEmail(&'static str);

const SHAPE: InvalidEmail = InvalidEmail("must be one address such as ana@example.com, at most 254 bytes");
const NAMED: InvalidEmail = InvalidEmail("must be the address alone, without a name and angle brackets");
const SEVERAL: InvalidEmail = InvalidEmail("must be one address: give each user their own");
const BLANK: InvalidEmail = InvalidEmail("must not contain blanks, line breaks or control characters");
const LONG: InvalidEmail = InvalidEmail("must have at most 254 bytes");
const LONG_LOCAL: InvalidEmail = InvalidEmail("must have at most 64 bytes before the @");
const LOCAL: InvalidEmail = InvalidEmail(
    "has a part before the @ that no mailbox can have: letters, digits and ! # $ % & ' * + - / = ? ^ _ ` { | } ~, with single dots between them",
);
const DOMAIN: InvalidEmail = InvalidEmail("has a part behind the @ that is not the name of a domain");

/// What tells the addresses of one person apart, in eight hexadecimal digits: too little to find an address by.
pub fn address_digest(address: &Secret) -> String {
    let digest = Sha256::digest(address.expose());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// [`address_digest`] of the address in small letters, which is how whoever reports of a mail may write it.
pub fn folded_address_digest(address: &Secret) -> String {
    address_digest(&Secret::from(address.expose().to_lowercase()))
}

/// Whether a digest is of this address, as it is written or in small letters.
pub fn is_digest_of(digest: &str, address: &Secret) -> bool {
    digest == address_digest(address) || digest == folded_address_digest(address)
}

/// An address in its one form.
///
/// # Errors
/// [`InvalidEmail`] says what is accepted.
pub fn email_address(raw: &str) -> Result<Secret, InvalidEmail> {
    // Blanks and line breaks around an address come from files and forms.
    let text = raw.trim();
    if text.len() > EMAIL_BYTES_MAX * 2 {
        return Err(LONG);
    }
    let (local, domain) = text.rsplit_once('@').ok_or(SHAPE)?;
    let is_quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    if text.ends_with('>') || (text.contains('<') && !is_quoted) {
        return Err(NAMED);
    }
    if text.chars().any(|c| c.is_control() || (c.is_whitespace() && !(is_quoted && c == ' '))) {
        return Err(BLANK);
    }
    if !is_quoted && local.contains([',', ';', '@']) {
        return Err(SEVERAL);
    }
    if local.is_empty() || domain.is_empty() {
        return Err(SHAPE);
    }
    if local.len() > LOCAL_BYTES_MAX {
        return Err(LONG_LOCAL);
    }
    let is_local = match is_quoted {
        true => is_quoted_text(&local[1..local.len() - 1]),
        false => local.split('.').all(|atom| atom.chars().all(is_atom) && !super::text::is_invisible(atom)),
    };
    if !is_local {
        return Err(LOCAL);
    }
    let address = format!("{local}@{}", domain_of(domain)?);
    match address.len() <= EMAIL_BYTES_MAX {
        true => Ok(Secret::from(address)),
        false => Err(LONG),
    }
}

/// Letters and digits of any script, and the signs that RFC 5322, section 3.2.3, lists.
fn is_atom(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
        // Marks are letters' own in many scripts. Blanks and control characters were refused before.
        false => !super::text::is_drawn_as_nothing(c),
    }
}

/// What may stand between quotes: a quote or a backslash only behind a backslash.
fn is_quoted_text(text: &str) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (false, '"') => return false,
            (_, c) if !c.is_ascii_graphic() && c != ' ' => return false,
            (_, _) => escaped = false,
        }
    }
    !escaped && !text.is_empty()
}

/// The domain as relays and name servers know it.
fn domain_of(domain: &str) -> Result<String, InvalidEmail> {
    if let Some(literal) = domain.strip_prefix('[').and_then(|literal| literal.strip_suffix(']')) {
        let is_address = match literal.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")) {
            // The relay's own form has the tag, and so has what is kept.
            Some(_) => literal[5..].parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        };
        return if is_address {
            Ok(domain.to_ascii_lowercase().replace("[ipv6:", "[IPv6:"))
        } else {
            Err(DOMAIN)
        };
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| DOMAIN)?;
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && plain
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The last label of a name is never a number; four of them are an address, which belongs in brackets.
    let is_number =
        ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    match ascii.split('.').all(is_label) && !is_number {
        true => Ok(ascii),
        false => Err(DOMAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        let (local, label) = ("a".repeat(64), "b".repeat(63));
        let longest = format!("{local}@{label}.{label}.{}", "c".repeat(61));
        let (long_local, long_label) = (format!("a{local}@example.com"), format!("ana@{label}b.com"));
        let too_long = format!("{local}@{label}.{label}.{}", "c".repeat(62));
        for (why, raw, expected) in [
            ("plain", "ana@example.com", Ok("ana@example.com")),
            ("blanks around it", " ana@example.com\n", Ok("ana@example.com")),
            ("the domain's case says nothing", "Ana.B@Example.COM", Ok("Ana.B@example.com")),
            ("a domain of another script", "ana@bücher.example", Ok("ana@xn--bcher-kva.example")),
            ("the same in capitals", "ana@BÜCHER.example", Ok("ana@xn--bcher-kva.example")),
            ("the same composed otherwise", "ana@bu\u{308}cher.example", Ok("ana@xn--bcher-kva.example")),
            ("its ASCII form", "ana@XN--bcher-kva.example", Ok("ana@xn--bcher-kva.example")),
            ("full-width dots are dots", "ana@example。com", Ok("ana@example.com")),
            ("letters of any script before the @", "żółw@example.com", Ok("żółw@example.com")),
            ("marks of a script", "उदाहरण@उदाहरण.भारत", Ok("उदाहरण@xn--p1b6ci4b4b3a.xn--h2brj9c")),
            ("a letter and its accent", "a\u{300}na@example.com", Ok("a\u{300}na@example.com")),
            ("pointed letters", "שָׁלוֹם@example.com", Ok("שָׁלוֹם@example.com")),
            ("Thai and Tamil", "สมชาย@example.com", Ok("สมชาย@example.com")),
            ("an accent and no letter", "\u{300}@example.com", Err(LOCAL)),
            ("a tag", "ana+ops@example.com", Ok("ana+ops@example.com")),
            ("signs that are allowed", "o'brien/ops=x@example.com", Ok("o'brien/ops=x@example.com")),
            ("a quoted @ in front", "\"a@b\"@example.com", Ok("\"a@b\"@example.com")),
            ("a host of one's own", "ana@mailhost", Ok("ana@mailhost")),
            ("an address in brackets", "ana@[192.0.2.1]", Ok("ana@[192.0.2.1]")),
            ("the longest", &longest, Ok(&longest[..])),
            ("nothing", "", Err(SHAPE)),
            ("no domain", "ana@", Err(SHAPE)),
            ("no name", "@example.com", Err(SHAPE)),
            ("no @", "ana", Err(SHAPE)),
            ("a name around it", "Ana <ana@example.com>", Err(NAMED)),
            ("angle brackets alone", "<ana@example.com>", Err(NAMED)),
            ("two addresses", "ana@example.com,ben@example.com", Err(SEVERAL)),
            ("two, with a blank", "ana@example.com, ben@example.com", Err(BLANK)),
            ("two, in Outlook's way", "ana@example.com;ben@example.com", Err(SEVERAL)),
            ("a line break would add headers", "ana@example.com\r\nBcc: x@example.com", Err(BLANK)),
            ("a blank within", "ana b@example.com", Err(BLANK)),
            ("a comment", "ana(ops)@example.com", Err(LOCAL)),
            ("two dots", "ana..b@example.com", Err(LOCAL)),
            ("a dot at the end", "ana.@example.com", Err(LOCAL)),
            ("a dot in front", ".ana@example.com", Err(LOCAL)),
            ("a character nobody sees", "ana\u{200b}@example.com", Err(LOCAL)),
            ("an open quote", "\"ana@example.com", Err(LOCAL)),
            ("a quote within quotes", "\"a\"b\"@example.com", Err(LOCAL)),
            ("too much before the @", &long_local, Err(LONG_LOCAL)),
            ("too long a label", &long_label, Err(DOMAIN)),
            ("too long", &too_long, Err(LONG)),
            ("a dot behind the domain", "ana@example.com.", Err(DOMAIN)),
            ("two dots in the domain", "ana@example..com", Err(DOMAIN)),
            ("a hyphen at the end of a label", "ana@example-.com", Err(DOMAIN)),
            ("an underscore in the domain", "ana@ex_ample.com", Err(DOMAIN)),
            ("an address without brackets", "ana@192.0.2.1", Err(DOMAIN)),
            ("brackets around no address", "ana@[example.com]", Err(DOMAIN)),
            ("a port", "ana@example.com:25", Err(DOMAIN)),
        ] {
            let found = email_address(raw);
            assert_eq!(found.as_ref().map(Secret::expose), expected.as_ref().copied(), "{why}");
            if let Ok(found) = found {
                assert_eq!(email_address(found.expose()), Ok(found), "{why}: the form of a form is itself");
            }
        }
    }
}
