//! Message digests.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::sample::{Arg, ArgType, Args, Converter, Ctx, ExprCx, Sample, Scratch, Type, VarName, cast, vars};

use super::encode::base64_decode;

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("sha1", Type::Bin, Type::Bin, |_, s, _| digest(Kind::Sha1, s.bytes()?))
        .doc("SHA-1 digest"),
    Converter::new("sha2", Type::Bin, Type::Bin, |a, s, _| digest(*a.extra()?, s.bytes()?))
        .args(0, &[ArgType::Int])
        .prepare(|_, a| {
            let kind = match a.int_or(0, 256) {
                224 => Kind::Sha224,
                256 => Kind::Sha256,
                384 => Kind::Sha384,
                512 => Kind::Sha512,
                _ => return Err((0, "224, 256, 384 or 512 is expected".to_owned())),
            };
            a.set_extra(kind);
            Ok(())
        })
        .doc("SHA-2 digest of <bits> bits, 256 by default"),
    Converter::new("digest", Type::Bin, Type::Bin, |a, s, _| digest(*a.extra()?, s.bytes()?))
        .args(1, &[ArgType::Str])
        .prepare(named)
        .doc("digest by its name: sha1, sha224, sha256, sha384, sha512, md5"),
    Converter::new("hmac", Type::Bin, Type::Bin, hmac)
        .args(2, &[ArgType::Str, ArgType::Str])
        .prepare(hmac_args)
        .doc("keyed digest; the key is base64 or a variable that holds base64"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

fn by_name(name: &[u8]) -> Result<Kind, (usize, String)> {
    Ok(match name.to_ascii_lowercase().as_slice() {
        b"md5" => Kind::Md5,
        b"sha1" => Kind::Sha1,
        b"sha224" => Kind::Sha224,
        b"sha256" => Kind::Sha256,
        b"sha384" => Kind::Sha384,
        b"sha512" => Kind::Sha512,
        other => {
            let t = String::from_utf8_lossy(other);
            return Err((
                0,
                format!("unknown digest '{t}'; md5, sha1, sha224, sha256, sha384 and sha512 are known"),
            ));
        }
    })
}

fn named(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let kind = by_name(a.str(0).unwrap_or_default())?;
    a.set_extra(kind);
    Ok(())
}

fn digest(kind: Kind, b: &[u8]) -> Option<Sample<'static>> {
    let out = match kind {
        Kind::Md5 => Scratch::of(&Md5::digest(b)),
        Kind::Sha1 => Scratch::of(&Sha1::digest(b)),
        Kind::Sha224 => Scratch::of(&Sha224::digest(b)),
        Kind::Sha256 => Scratch::of(&Sha256::digest(b)),
        Kind::Sha384 => Scratch::of(&Sha384::digest(b)),
        Kind::Sha512 => Scratch::of(&Sha512::digest(b)),
    };
    Some(Sample::Bin(out.into()))
}

struct Keyed {
    kind: Kind,
    key: Arg,
}

fn hmac_args(_: &mut ExprCx<'_>, a: &mut Args) -> Result<(), (usize, String)> {
    let kind = by_name(a.str(0).unwrap_or_default())?;
    let text = a.str(1).unwrap_or_default();
    let key = match VarName::parse(text) {
        Ok(v) => Arg::Var(v),
        Err(_) => {
            let mut key = Vec::new();
            base64_decode(text, false, &mut key)
                .ok_or_else(|| (1, "the key must be base64 or the name of a variable".to_owned()))?;
            Arg::Str(key.into())
        }
    };
    a.set_extra(Keyed { kind, key });
    Ok(())
}

fn hmac<'a>(a: &'a Args, s: Sample<'a>, c: &'a dyn Ctx) -> Option<Sample<'a>> {
    let k: &Keyed = a.extra()?;
    match &k.key {
        Arg::Str(key) => mac(k.kind, key, s.bytes()?),
        Arg::Var(v) => {
            let text = cast::to_str(vars::read(*v, c)?)?;
            let mut key = Scratch::new();
            base64_decode(&text, false, key.vec())?;
            mac(k.kind, &key, s.bytes()?)
        }
        _ => None,
    }
}

fn mac(kind: Kind, key: &[u8], b: &[u8]) -> Option<Sample<'static>> {
    macro_rules! with {
        ($h:ty) => {{
            let mut m = Hmac::<$h>::new_from_slice(key).ok()?;
            m.update(b);
            Scratch::of(&m.finalize().into_bytes())
        }};
    }
    let out = match kind {
        Kind::Md5 => with!(Md5),
        Kind::Sha1 => with!(Sha1),
        Kind::Sha224 => with!(Sha224),
        Kind::Sha256 => with!(Sha256),
        Kind::Sha384 => with!(Sha384),
        Kind::Sha512 => with!(Sha512),
    };
    Some(Sample::Bin(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fetch::unhex;

    fn hex(s: Option<Sample<'_>>) -> Vec<u8> {
        s.and_then(|s| s.bytes().map(<[u8]>::to_vec)).unwrap_or_default()
    }

    #[test]
    fn known_digests() {
        let want = |t: &str| unhex(t.as_bytes()).expect("hex");
        assert_eq!(hex(digest(Kind::Sha1, b"abc")), want("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(hex(digest(Kind::Md5, b"abc")), want("900150983cd24fb0d6963f7d28e17f72"));
        // RFC 4231 test case 2.
        assert_eq!(
            hex(mac(Kind::Sha256, b"Jefe", b"what do ya want for nothing?")),
            want("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
    }
}
