//! Codec: what is told to workflows and activities, encrypted before Temporal sees it, where there are keys.
//!
//! `HOLDFAST_PAYLOAD_KEYS` holds keys by name, `2027b:<base64 of 32 bytes>,2027a:...`: the first encrypts, every one decrypts. To rotate,
//! first add the new key behind the old one in every process, then put it first, and take the old one away once Temporal has
//! forgotten what it encrypted. What was written in the clear is read as it is, so that keys may be set while bookings are open.
//!
//! AES-256-GCM with a random nonce of 96 bits before the text (NIST SP 800-38D); the key's name is in the payload's metadata, and
//! authenticated with it. Ids, names of activities, search attributes and times stay readable: Temporal works with them.

use super::settings::{self, optional_secret};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, OsRng, Payload as Sealed, rand_core::RngCore},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{FutureExt, future::BoxFuture};
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use std::{collections::HashMap, fmt, sync::Arc};
use temporalio_common::{
    data_converters::{PayloadCodec, PayloadConversionError, SerializationContextData},
    protos::temporal::api::common::v1::Payload,
};

const KEYS: &str = "HOLDFAST_PAYLOAD_KEYS";
const EXPECTED: &str = "names and keys of 32 bytes in base64, such as 2027b:qL8R...=,2027a:tF1a...=";
/// As Temporal's own examples name them, so that other tools know what they see.
const ENCODING: &str = "encoding";
const ENCRYPTED: &[u8] = b"binary/encrypted";
const KEY_NAME: &str = "encryption-key-id";
const NONCE_BYTES: usize = 12;

/// Encrypts and decrypts payloads.
#[derive(Clone)]
pub struct Codec(Arc<Keys>);

struct Keys {
    current: String,
    all: HashMap<String, Aes256Gcm>,
}

/// Shows the names of its keys, and no key.
impl fmt::Debug for Codec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Codec").field(&self.0.all.keys()).finish()
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it was encrypted under the key {0:?}, which is not among HOLDFAST_PAYLOAD_KEYS")]
    UnknownKey(String),
    #[error("it cannot be decrypted: it was changed, or its key was")]
    Changed,
    #[error("it cannot be encrypted")]
    Refused,
}

impl Codec {
    /// Reads the environment. `None`: nothing is encrypted.
    ///
    /// # Errors
    /// [`settings::Error`] for keys that cannot be used.
    pub fn read() -> Result<Option<Self>, settings::Error> {
        let Some(keys) = optional_secret(KEYS, EXPECTED, 1)? else { return Ok(None) };
        Self::new(&keys).map(Some).map_err(|why| settings::Error::Invalid { name: KEYS, expected: EXPECTED, why })
    }

    /// A codec with these keys, written as in `HOLDFAST_PAYLOAD_KEYS`.
    ///
    /// # Errors
    /// What is wrong with them. Keys are not shown.
    pub fn new(keys: &SecretString) -> Result<Self, String> {
        let (mut current, mut all) = (None, HashMap::new());
        for entry in keys.expose_secret().split(',') {
            let (name, key) = entry.trim().split_once(':').ok_or("a key has no name")?;
            let key = STANDARD.decode(key).map_err(|_| format!("the key {name:?} is not in base64"))?;
            let cipher = Aes256Gcm::new_from_slice(&key);
            let cipher = cipher.map_err(|_| format!("the key {name:?} has {} bytes", key.len()))?;
            if all.insert(name.to_owned(), cipher).is_some() {
                return Err(format!("there are two keys {name:?}"));
            }
            current.get_or_insert_with(|| name.to_owned());
        }
        Ok(Self(Arc::new(Keys { current: current.ok_or("there is no key")?, all })))
    }
}

impl Keys {
    fn encrypt(&self, payload: &Payload) -> Result<Payload, Error> {
        let mut nonce = [0; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let text = payload.encode_to_vec();
        let sealed = Sealed { msg: &text, aad: self.current.as_bytes() };
        let sealed = self.all[&self.current].encrypt(&nonce.into(), sealed).map_err(|_| Error::Refused)?;
        let metadata = [(ENCODING, ENCRYPTED.to_vec()), (KEY_NAME, self.current.clone().into_bytes())];
        Ok(Payload {
            metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            data: [&nonce[..], &sealed].concat(),
            ..Payload::default()
        })
    }

    fn decrypt(&self, payload: Payload) -> Result<Payload, Error> {
        if payload.metadata.get(ENCODING).map(Vec::as_slice) != Some(ENCRYPTED) {
            return Ok(payload);
        }
        let name = payload.metadata.get(KEY_NAME).cloned().unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        let key = self.all.get(&name).ok_or_else(|| Error::UnknownKey(name.clone()))?;
        let (nonce, sealed) = payload.data.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Changed)?;
        let sealed = Sealed { msg: sealed, aad: name.as_bytes() };
        let text = key.decrypt(&(*nonce).into(), sealed).map_err(|_| Error::Changed)?;
        Payload::decode(text.as_slice()).map_err(|_| Error::Changed)
    }
}

fn all<E: std::error::Error + Send + Sync + 'static>(
    payloads: impl Iterator<Item = Result<Payload, E>>,
) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
    let done: Result<Vec<_>, E> = payloads.collect();
    std::future::ready(done.map_err(|error| PayloadConversionError::EncodingError(Box::new(error)))).boxed()
}

impl PayloadCodec for Codec {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        all(payloads.iter().map(|payload| self.0.encrypt(payload)))
    }

    fn decode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        all(payloads.into_iter().map(|payload| self.0.decrypt(payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn codec(keys: &str) -> Codec {
        Codec::new(&keys.into()).unwrap()
    }

    fn said() -> Payload {
        let metadata = HashMap::from([(ENCODING.to_owned(), b"json/plain".to_vec())]);
        Payload { metadata, data: br#"{"customer":"17"}"#.to_vec(), ..Payload::default() }
    }

    #[test]
    fn what_is_encrypted_is_read_with_its_key_also_after_a_rotation_and_by_nobody_else() {
        let old = codec(&format!("a:{}", key(1)));
        let both = codec(&format!("b:{},a:{}", key(2), key(1)));
        let sealed = old.0.encrypt(&said()).unwrap();
        assert!(!sealed.data.windows(8).any(|part| part == b"customer"));
        assert_ne!(old.0.encrypt(&said()).unwrap().data, sealed.data, "no two look alike");
        assert_eq!(both.0.decrypt(sealed.clone()).unwrap(), said());
        let newer = both.0.encrypt(&said()).unwrap();
        assert_eq!(newer.metadata[KEY_NAME], b"b");
        assert!(matches!(old.0.decrypt(newer), Err(Error::UnknownKey(name)) if name == "b"));
        assert_eq!(both.0.decrypt(said()).unwrap(), said(), "what was written in the clear is read as it is");

        for place in [0, NONCE_BYTES, sealed.data.len() - 1] {
            let mut changed = sealed.clone();
            changed.data[place] ^= 1;
            assert!(matches!(old.0.decrypt(changed), Err(Error::Changed)));
        }
        let named = HashMap::from([(ENCODING.to_owned(), ENCRYPTED.to_vec()), (KEY_NAME.to_owned(), b"b".to_vec())]);
        let renamed = Payload { metadata: named, ..sealed };
        assert!(matches!(both.0.decrypt(renamed), Err(Error::Changed)), "its name is authenticated");
    }

    #[test]
    fn keys_that_cannot_be_used_are_named_and_not_shown() {
        let short = STANDARD.encode([7; 16]);
        for (keys, why) in [
            (key(1), "a key has no name".to_owned()),
            (format!("a:{}", "!"), "the key \"a\" is not in base64".to_owned()),
            (format!("a:{short}"), "the key \"a\" has 16 bytes".to_owned()),
            (format!("a:{},a:{}", key(1), key(2)), "there are two keys \"a\"".to_owned()),
        ] {
            assert_eq!(Codec::new(&keys.into()).err(), Some(why));
        }
    }

    proptest::proptest! {
        /// Whatever Temporal gives back: it is read as it was written, or refused.
        #[test]
        fn anything_may_come_back(
            data in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            name in "[ab]?|\\PC{0,8}",
        ) {
            let codec = codec(&format!("a:{}", key(1)));
            let named = HashMap::from([(ENCODING.to_owned(), ENCRYPTED.to_vec()), (KEY_NAME.to_owned(), name.into_bytes())]);
            assert!(codec.0.decrypt(Payload { metadata: named, data: data.clone(), ..Payload::default() }).is_err());
            let plain = Payload { data, ..said() };
            assert_eq!(codec.0.decrypt(codec.0.encrypt(&plain).unwrap()).unwrap(), plain);
        }
    }
}
