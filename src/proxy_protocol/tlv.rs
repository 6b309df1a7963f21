//! What a header of version 2 says beyond addresses (2.2): a list of types and values.

use super::Error;

/// Type and length.
pub(super) const HEAD: usize = 3;

/// The longest value that is kept: any sender may fill a whole header, for each connection.
const KEPT_MAX: usize = 1024;
/// A host name.
const AUTHORITY_MAX: usize = 255;
/// 2.2.5.
const UNIQUE_ID_MAX: usize = 128;

/// What a value means. Any number is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(pub u8);

#[allow(missing_docs)]
impl Type {
    pub const ALPN: Type = Type(0x01);
    pub const AUTHORITY: Type = Type(0x02);
    pub const CRC32C: Type = Type(0x03);
    pub const NOOP: Type = Type(0x04);
    pub const UNIQUE_ID: Type = Type(0x05);
    pub const SSL: Type = Type(0x20);
    pub const SSL_VERSION: Type = Type(0x21);
    pub const SSL_CN: Type = Type(0x22);
    pub const SSL_CIPHER: Type = Type(0x23);
    pub const SSL_SIG_ALG: Type = Type(0x24);
    pub const SSL_KEY_ALG: Type = Type(0x25);
    pub const NETNS: Type = Type(0x30);
}

/// The values of a header, in their order, as they were written. Values that are too long to be kept are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Box<[u8]>);

impl Tlvs {
    /// Reads a list that fills `bytes` exactly.
    ///
    /// # Errors
    /// `Invalid` when it does not, or when a value is longer than its type allows.
    pub fn parse(bytes: &[u8]) -> Result<Tlvs, Error> {
        let mut kept = Vec::new();
        let mut end = 0;
        for (at, ty, value) in places(bytes) {
            match Type(ty) {
                Type::AUTHORITY if value.len() > AUTHORITY_MAX => return Err(Error::Invalid),
                Type::UNIQUE_ID if value.len() > UNIQUE_ID_MAX => return Err(Error::Invalid),
                _ => {}
            }
            end = at + value.len();
            if value.len() <= KEPT_MAX {
                kept.extend_from_slice(&bytes[at - HEAD..end]);
            }
        }
        if end == bytes.len() { Ok(Tlvs(kept.into())) } else { Err(Error::Invalid) }
    }

    /// The list as it is written: [`Tlvs::parse`] reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The values of that type.
    pub fn all(&self, ty: Type) -> impl Iterator<Item = &[u8]> {
        places(&self.0).filter(move |p| p.1 == ty.0).map(|p| p.2)
    }

    /// The first value of that type.
    pub fn first(&self, ty: Type) -> Option<&[u8]> {
        self.all(ty).next()
    }
}

/// Where each value begins, its type and the value, up to the first that is cut off.
pub(super) fn places(bytes: &[u8]) -> impl Iterator<Item = (usize, u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (&[ty, high, low], rest) = bytes.get(at..)?.split_first_chunk::<HEAD>()?;
        let value = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        let place = at + HEAD;
        at = place + value.len();
        Some((place, ty, value))
    })
}
