//! The encryption of Web Push: `aes128gcm` for one browser, so that its push service cannot read along.
//!
//! Why not `web-push` (0.11.0), which brings OpenSSL, or `web-push-native` (0.5.0), which brings a second implementation of
//! P-256, HKDF, SHA-256 and AES-GCM: all four are in aws-lc-rs, which TLS uses already.
//!
//! Sources: RFC 8291 (keys), RFC 8188 (the content coding), whose names are used here.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use watchbell::wire::webpush::SubscriptionKeysV1;

/// Bytes of an uncompressed point on P-256.
pub(super) const POINT_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
/// One record, which is what push services take at least: RFC 8030, section 7.2.
const RECORD_BYTES: u32 = 4096;
/// Ends the last record's plaintext; no padding follows.
const LAST_RECORD: u8 = 2;

/// The keys are not keys: the subscription is garbled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadKeys;

/// A browser's keys, decoded.
pub(super) struct Receiver {
    public: [u8; POINT_BYTES],
    auth: [u8; AUTH_BYTES],
}

impl Receiver {
    pub(super) fn parse(keys: &SubscriptionKeysV1) -> Result<Self, BadKeys> {
        Ok(Self { public: decode(&keys.p256dh)?, auth: decode(&keys.auth)? })
    }

    /// `plaintext` for this browser, by a key pair and a salt that are used once.
    pub(super) fn encrypt(&self, plaintext: &str) -> Result<Vec<u8>, BadKeys> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| BadKeys)?;
        let sender = PrivateKey::generate(&ECDH_P256).map_err(|_| BadKeys)?;
        self.encrypt_with(plaintext.as_bytes(), salt, &sender)
    }

    fn encrypt_with(
        &self,
        plaintext: &[u8],
        salt: [u8; SALT_BYTES],
        sender: &PrivateKey,
    ) -> Result<Vec<u8>, BadKeys> {
        let sender_public = sender.compute_public_key().map_err(|_| BadKeys)?;
        let sender_public = sender_public.as_ref();
        let theirs = UnparsedPublicKey::new(&ECDH_P256, self.public);
        let info = [b"WebPush: info\0", &self.public[..], sender_public].concat();
        let ikm: [u8; 32] = agree(sender, theirs, BadKeys, |shared| derive(&self.auth, shared, &info))?;
        let key: [u8; KEY_BYTES] = derive(&salt, &ikm, b"Content-Encoding: aes128gcm\0")?;
        let nonce: [u8; NONCE_LEN] = derive(&salt, &ikm, b"Content-Encoding: nonce\0")?;

        let mut record = [plaintext, &[LAST_RECORD]].concat();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(|_| BadKeys)?);
        let nonce = Nonce::assume_unique_for_key(nonce); // The key is used once.
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| BadKeys)?;
        let header = [&salt[..], &RECORD_BYTES.to_be_bytes(), &[POINT_BYTES as u8], sender_public].concat();
        Ok([header, record].concat())
    }
}

/// HKDF (RFC 5869) with SHA-256.
fn derive<const N: usize>(salt: &[u8], ikm: &[u8], info: &[u8]) -> Result<[u8; N], BadKeys> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    let info = [info];
    let prk = Salt::new(HKDF_SHA256, salt).extract(ikm);
    let okm = prk.expand(&info, Len(N)).map_err(|_| BadKeys)?;
    okm.fill(&mut out).map_err(|_| BadKeys)?;
    Ok(out)
}

/// Browsers leave the padding out; what has it is taken too.
fn decode<const N: usize>(text: &str) -> Result<[u8; N], BadKeys> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadKeys)?;
    bytes.try_into().map_err(|_| BadKeys)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_standard_comes_out_byte_for_byte() {
        let keys = SubscriptionKeysV1 {
            p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
                .into(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
        };
        let sender: [u8; 32] = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let sender = PrivateKey::from_private_key(&ECDH_P256, &sender).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap();
        let body = Receiver::parse(&keys)
            .unwrap()
            .encrypt_with(b"When I grow up, I want to be a watermelon", salt, &sender)
            .unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(body), expected);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let off_curve = BASE64_URL_SAFE_NO_PAD.encode([&[4][..], &[7; 64]].concat());
        for (why, p256dh, auth, parses) in [
            ("as it should be", good, "BTBZMqHH6r4Tts7J_aSIgg", true),
            ("with padding", good, "BTBZMqHH6r4Tts7J_aSIgg==", true),
            ("not base64", "not base64!", "BTBZMqHH6r4Tts7J_aSIgg", false),
            ("too short a secret", good, "BTBZ", false),
            ("no point", "BCVx", "BTBZMqHH6r4Tts7J_aSIgg", false),
            ("not on the curve: found when it is used", &off_curve, "BTBZMqHH6r4Tts7J_aSIgg", true),
        ] {
            let keys = SubscriptionKeysV1 { p256dh: p256dh.into(), auth: auth.into() };
            assert_eq!(Receiver::parse(&keys).is_ok(), parses, "{why}");
        }
        let keys = SubscriptionKeysV1 { p256dh: off_curve, auth: "BTBZMqHH6r4Tts7J_aSIgg".into() };
        assert_eq!(Receiver::parse(&keys).unwrap().encrypt("x"), Err(BadKeys));
    }
}
