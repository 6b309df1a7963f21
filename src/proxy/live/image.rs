//! The image of live state that a process leaves to the next one: records by name, so that it may have another
//! configuration or be another version.
//!
//! ```text
//! image:  number of kinds (u32), kinds
//! kind:   name, number of fields (u16), their names, number of texts (u16), their names,
//!         number of records (u32), records
//! record: name, a value (u64) for each field, a text for each of the texts
//! name, text: length (u16), UTF-8
//! ```
//! Numbers are little-endian. What is not known is passed over; what is missing stays as it was configured.

use std::collections::HashMap;

/// Things of one kind: servers, frontends, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// What they are.
    pub name: String,
    /// Names of the values of each.
    pub fields: Vec<String>,
    /// Names of the texts of each.
    pub texts: Vec<String>,
    /// All of them.
    pub records: Vec<Record>,
}

/// One thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// A value for each field of its kind.
    pub values: Vec<u64>,
    /// A text for each of its kind.
    pub texts: Vec<String>,
}

/// Why an image cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It ends in the middle.
    #[error("the image is cut off")]
    Truncated,
    /// A name or text is none.
    #[error("a name in the image is not text")]
    Text,
    /// There is more behind it.
    #[error("the image does not end where it should")]
    Rest,
}

/// Texts are cut to this many bytes.
pub const TEXT_MAX: usize = 256;

fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let end = (0..=text.len().min(max)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// Names are never longer than what a line of the configuration holds.
const NAME_MAX: usize = u16::MAX as usize;

/// The bytes of an image.
pub fn encode(kinds: &[Kind]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(kinds.len() as u32).to_le_bytes());
    for kind in kinds {
        put_text(&mut out, &kind.name, NAME_MAX);
        for names in [&kind.fields, &kind.texts] {
            out.extend_from_slice(&(names.len() as u16).to_le_bytes());
            names.iter().for_each(|name| put_text(&mut out, name, NAME_MAX));
        }
        out.extend_from_slice(&(kind.records.len() as u32).to_le_bytes());
        for record in &kind.records {
            debug_assert_eq!(
                (record.values.len(), record.texts.len()),
                (kind.fields.len(), kind.texts.len())
            );
            put_text(&mut out, &record.name, NAME_MAX);
            record.values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
            record.texts.iter().for_each(|t| put_text(&mut out, t, TEXT_MAX));
        }
    }
    out
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(ImageError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, ImageError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String, ImageError> {
        let len = self.u16()?.into();
        let (text, rest) = self.0.split_at_checked(len).ok_or(ImageError::Truncated)?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| ImageError::Text)
    }

    fn names(&mut self) -> Result<Vec<String>, ImageError> {
        let n = self.u16()?;
        (0..n).map(|_| self.text()).collect()
    }

    fn kind(&mut self) -> Result<Kind, ImageError> {
        let (name, fields, texts) = (self.text()?, self.names()?, self.names()?);
        let count = self.u32()?;
        // Each record has two bytes at least: a wrong number ends with the bytes.
        let record = |reader: &mut Self| {
            Ok(Record {
                name: reader.text()?,
                values: fields
                    .iter()
                    .map(|_| Ok(u64::from_le_bytes(reader.take()?)))
                    .collect::<Result<_, _>>()?,
                texts: texts.iter().map(|_| reader.text()).collect::<Result<_, _>>()?,
            })
        };
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(record(self)?);
        }
        Ok(Kind { name, fields, texts, records })
    }
}

/// The image that [`encode`] wrote. Takes memory in proportion to the bytes.
///
/// # Errors
/// When the bytes are something else.
pub fn decode(bytes: &[u8]) -> Result<Vec<Kind>, ImageError> {
    let mut reader = Reader(bytes);
    let count = reader.u32()?;
    let mut kinds = Vec::new();
    for _ in 0..count {
        kinds.push(reader.kind()?);
    }
    if reader.0.is_empty() { Ok(kinds) } else { Err(ImageError::Rest) }
}

/// An image to look things up in.
#[derive(Debug, Default)]
pub struct Index {
    kinds: Vec<Kind>,
    /// Place of each record, by kind and name.
    places: HashMap<String, HashMap<String, (usize, usize)>>,
}

impl Index {
    /// Of these.
    pub fn new(kinds: Vec<Kind>) -> Index {
        let mut places: HashMap<String, HashMap<String, (usize, usize)>> = HashMap::new();
        for (k, kind) in kinds.iter().enumerate() {
            let names = kind.records.iter().enumerate().map(|(r, record)| (record.name.clone(), (k, r)));
            places.entry(kind.name.clone()).or_default().extend(names);
        }
        Index { kinds, places }
    }

    /// One thing; `None` when the image does not have it.
    pub fn find(&self, kind: &str, name: &str) -> Option<View<'_>> {
        let (k, r) = *self.places.get(kind)?.get(name)?;
        Some(View { kind: &self.kinds[k], record: &self.kinds[k].records[r] })
    }
}

/// A record with the names of its values.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    kind: &'a Kind,
    record: &'a Record,
}

impl View<'_> {
    /// A value; `None` when whoever wrote the image did not know it.
    pub fn get(&self, field: &str) -> Option<u64> {
        let at = self.kind.fields.iter().position(|f| f == field)?;
        self.record.values.get(at).copied()
    }

    /// The same, 0 when it is not there.
    pub fn count(&self, field: &str) -> u64 {
        self.get(field).unwrap_or(0)
    }

    /// The same, at most what fits.
    pub fn small(&self, field: &str) -> u32 {
        u32::try_from(self.count(field)).unwrap_or(u32::MAX)
    }

    /// A text; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        let at = self.kind.texts.iter().position(|t| t == name);
        at.and_then(|at| self.record.texts.get(at)).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Vec<Kind>> {
        let kind = ("\\PC{0,9}", vec("[a-z_]{1,9}", 0..6), vec("[a-z]{1,5}", 0..3));
        let kind = kind.prop_flat_map(|(name, fields, texts)| {
            let record = ("\\PC{0,12}", vec(any::<u64>(), fields.len()), vec("\\PC{0,20}", texts.len()));
            let record = record.prop_map(|(name, values, texts)| Record { name, values, texts });
            vec(record, 0..5).prop_map(move |records| Kind {
                name: name.clone(),
                fields: fields.clone(),
                texts: texts.clone(),
                records,
            })
        });
        vec(kind, 0..4)
    }

    proptest! {
        #[test]
        fn images_come_back(kinds in kinds()) {
            let bytes = encode(&kinds);
            prop_assert_eq!(decode(&bytes), Ok(kinds));
        }

        #[test]
        fn no_part_of_an_image_is_taken_for_one(kinds in kinds(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&kinds);
            let whole = bytes.len();
            bytes.truncate(cut.index(whole));
            prop_assert!(decode(&bytes).is_err());
            let mut more = encode(&kinds);
            more.push(0);
            prop_assert_eq!(decode(&more), Err(ImageError::Rest));
        }

        #[test]
        fn hostile_bytes_are_refused_or_read_without_harm(
            kinds in kinds(),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            noise in vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = encode(&kinds);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode(&bytes).map(Index::new);
            let _ = decode(&noise).map(Index::new);
        }
    }

    #[test]
    fn huge_counts_take_no_memory() {
        assert_eq!(decode(&u32::MAX.to_le_bytes()), Err(ImageError::Truncated));
        let mut bytes = encode(&[Kind { name: "a".into(), ..Kind::default() }]);
        let at = bytes.len() - 4;
        bytes[at..].fill(0xff);
        assert_eq!(decode(&bytes), Err(ImageError::Truncated));
    }

    #[test]
    fn things_are_found_by_name() {
        let record = |name: &str, v: u64| Record {
            name: name.into(),
            values: vec![v, 9],
            texts: vec!["x".repeat(v as usize)],
        };
        let kind = Kind {
            name: "server".into(),
            fields: vec!["weight".into(), "more".into()],
            texts: vec!["note".into()],
            records: vec![record("be/a", 3), record("be/b", 300)],
        };
        let index = Index::new(decode(&encode(&[kind])).expect("an image"));
        let found = index.find("server", "be/b").expect("it is there");
        assert_eq!((found.get("weight"), found.get("less"), found.small("more")), (Some(300), None, 9));
        assert_eq!((found.text("note").len(), found.text("none")), (TEXT_MAX, ""));
        assert!(index.find("server", "be/c").is_none() && index.find("frontend", "be/a").is_none());
    }
}
