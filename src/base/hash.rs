//! Hash functions that the manual names: for `hash-type`, for converters, for consistent hashing.

/// A function of `hash-type <method> <function>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HashFn {
    /// `sdbm`, the default.
    #[default]
    Sdbm,
    /// `djb2`.
    Djb2,
    /// `wt6`.
    Wt6,
    /// `crc32`.
    Crc32,
    /// `none`: the key is a decimal number that is taken as it is.
    None,
}

impl HashFn {
    /// Every function, with its name.
    pub const ALL: [(&'static str, HashFn); 5] = [
        ("sdbm", HashFn::Sdbm),
        ("djb2", HashFn::Djb2),
        ("wt6", HashFn::Wt6),
        ("crc32", HashFn::Crc32),
        ("none", HashFn::None),
    ];

    /// The function called `name`.
    pub fn by_name(name: &str) -> Option<HashFn> {
        HashFn::ALL.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
    }

    /// Hash `key`.
    pub fn hash(self, key: &[u8]) -> u32 {
        match self {
            HashFn::Sdbm => sdbm(key),
            HashFn::Djb2 => djb2(key),
            HashFn::Wt6 => wt6(key),
            HashFn::Crc32 => crc32(key),
            HashFn::None => decimal(key),
        }
    }
}

/// sdbm: `h = c + h * 65599`.
pub fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0u32, |h, c| h.wrapping_mul(65599).wrapping_add(u32::from(*c)))
}

/// djb2: `h = c + h * 33`, from 5381.
pub fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381u32, |h, c| h.wrapping_mul(33).wrapping_add(u32::from(*c)))
}

/// wt6: two words that are mixed and rotated by amounts taken from the data.
pub fn wt6(key: &[u8]) -> u32 {
    let (mut h0, mut h1) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut step0, mut step1) = (6u32, 18u32);
    for c in key {
        let c = u32::from(*c);
        h0 = !(h0 ^ c);
        h1 = !h1.wrapping_add(c);
        let t = h1.rotate_left(step0);
        h1 = h0.rotate_left(step1);
        h0 = t;
        let t = ((h0 >> 16) ^ h1) & 0xffff;
        step0 = t & 0x1f;
        step1 = t >> 11;
    }
    h0 ^ h1
}

/// CRC-32 (IEEE 802.3, reflected).
pub fn crc32(key: &[u8]) -> u32 {
    !crc_update(&CRC32_TABLE, !0, key)
}

/// CRC-32C (Castagnoli, reflected).
pub fn crc32c(key: &[u8]) -> u32 {
    !crc_update(&CRC32C_TABLE, !0, key)
}

/// The number that the leading decimal digits of `key` write, modulo 2^32.
pub fn decimal(key: &[u8]) -> u32 {
    key.iter()
        .take_while(|c| c.is_ascii_digit())
        .fold(0u32, |n, c| n.wrapping_mul(10).wrapping_add(u32::from(c - b'0')))
}

/// The `avalanche` modifier: Bob Jenkins' full avalanche of 32 bits, spread by a large odd factor.
pub fn avalanche(h: u32) -> u32 {
    let mut a = h;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

const CRC32_TABLE: [u32; 256] = crc_table(0xedb8_8320);
const CRC32C_TABLE: [u32; 256] = crc_table(0x82f6_3b78);

const fn crc_table(poly: u32) -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 == 1 { (c >> 1) ^ poly } else { c >> 1 };
            bit += 1;
        }
        table[i] = c;
        i += 1;
    }
    table
}

fn crc_update(table: &[u32; 256], crc: u32, key: &[u8]) -> u32 {
    key.iter().fold(crc, |c, b| (c >> 8) ^ table[((c ^ u32::from(*b)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_check_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn same_as_the_reference_binary() {
        assert_eq!(sdbm(b"hello"), 684_824_882);
        assert_eq!(djb2(b"hello"), 261_238_937);
        assert_eq!(wt6(b"hello"), 3_538_347_703);
        assert_eq!(crc32(b"hello"), 907_060_870);
        assert_eq!(avalanche(sdbm(b"hello")), 2_061_535_398);
        assert_eq!(avalanche(wt6(b"hello")), 140_457_739);
        assert_eq!(crc32c(b"/"), 752_083_371);
        assert_eq!(wt6(b"/"), 1_886_637_733);
        assert_eq!(djb2(b"/some/longer/path"), 3_363_317_370);
        assert_eq!(wt6(b"/some/longer/path"), 1_240_023_119);
        assert_eq!(crc32c(b"/some/longer/path"), 3_327_597_991);
        let high = [0xe9, 0xff, 0x00];
        assert_eq!(sdbm(&high), 1_941_658_410);
        assert_eq!(djb2(&high), 193_639_149);
        assert_eq!(wt6(&high), 470_376_727);
        assert_eq!(crc32(&high), 3_394_686_799);
    }

    #[test]
    fn none_takes_the_number() {
        assert_eq!(HashFn::None.hash(b"1234"), 1234);
        assert_eq!(HashFn::None.hash(b"12ab"), 12);
        assert_eq!(HashFn::None.hash(b""), 0);
    }
}
