//! What an entry can store, one row each.

/// How a value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataClass {
    /// A number that is set.
    Value,
    /// A count that wraps at 32 bits.
    Count32,
    /// A count of 64 bits.
    Count64,
    /// Events over a period.
    Rate,
    /// The 64-bit hash of a name in the peers' dictionary.
    Name,
}

/// One kind of stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DataType {
    ServerId,
    Gpt0,
    Gpc0,
    Gpc0Rate,
    ConnCnt,
    ConnRate,
    ConnCur,
    SessCnt,
    SessRate,
    HttpReqCnt,
    HttpReqRate,
    HttpErrCnt,
    HttpErrRate,
    BytesInCnt,
    BytesInRate,
    BytesOutCnt,
    BytesOutRate,
    Gpc1,
    Gpc1Rate,
    ServerKey,
    HttpFailCnt,
    HttpFailRate,
    Gpt,
    Gpc,
    GpcRate,
    GlitchCnt,
    GlitchRate,
}

/// A row of [`DataType::ALL`].
#[derive(Clone, Copy, Debug)]
pub struct DataInfo {
    /// Which.
    pub data: DataType,
    /// Name as written behind `store`.
    pub name: &'static str,
    /// Behaviour.
    pub class: DataClass,
    /// An array: the number of elements is its first argument.
    pub array: bool,
}

const fn row(data: DataType, name: &'static str, class: DataClass) -> DataInfo {
    DataInfo { data, name, class, array: false }
}

const fn array(data: DataType, name: &'static str, class: DataClass) -> DataInfo {
    DataInfo { data, name, class, array: true }
}

/// Elements of an array at most, so that one update fits a peers message.
pub const ARRAY_MAX: u16 = 100;

impl DataType {
    /// Every kind, in the order of their numbers in the peers protocol.
    pub const ALL: [DataInfo; 27] = [
        row(DataType::ServerId, "server_id", DataClass::Value),
        row(DataType::Gpt0, "gpt0", DataClass::Value),
        row(DataType::Gpc0, "gpc0", DataClass::Count32),
        row(DataType::Gpc0Rate, "gpc0_rate", DataClass::Rate),
        row(DataType::ConnCnt, "conn_cnt", DataClass::Count32),
        row(DataType::ConnRate, "conn_rate", DataClass::Rate),
        row(DataType::ConnCur, "conn_cur", DataClass::Count32),
        row(DataType::SessCnt, "sess_cnt", DataClass::Count32),
        row(DataType::SessRate, "sess_rate", DataClass::Rate),
        row(DataType::HttpReqCnt, "http_req_cnt", DataClass::Count32),
        row(DataType::HttpReqRate, "http_req_rate", DataClass::Rate),
        row(DataType::HttpErrCnt, "http_err_cnt", DataClass::Count32),
        row(DataType::HttpErrRate, "http_err_rate", DataClass::Rate),
        row(DataType::BytesInCnt, "bytes_in_cnt", DataClass::Count64),
        row(DataType::BytesInRate, "bytes_in_rate", DataClass::Rate),
        row(DataType::BytesOutCnt, "bytes_out_cnt", DataClass::Count64),
        row(DataType::BytesOutRate, "bytes_out_rate", DataClass::Rate),
        row(DataType::Gpc1, "gpc1", DataClass::Count32),
        row(DataType::Gpc1Rate, "gpc1_rate", DataClass::Rate),
        row(DataType::ServerKey, "server_key", DataClass::Name),
        row(DataType::HttpFailCnt, "http_fail_cnt", DataClass::Count32),
        row(DataType::HttpFailRate, "http_fail_rate", DataClass::Rate),
        array(DataType::Gpt, "gpt", DataClass::Value),
        array(DataType::Gpc, "gpc", DataClass::Count32),
        array(DataType::GpcRate, "gpc_rate", DataClass::Rate),
        row(DataType::GlitchCnt, "glitch_cnt", DataClass::Count32),
        row(DataType::GlitchRate, "glitch_rate", DataClass::Rate),
    ];

    /// Its row.
    pub fn info(self) -> DataInfo {
        DataType::ALL[self as usize]
    }

    /// The kind called `name`.
    pub fn by_name(name: &str) -> Option<DataType> {
        // The older name of the same.
        let name = if name == "server_name" { "server_key" } else { name };
        DataType::ALL.iter().find(|r| r.name == name).map(|r| r.data)
    }

    /// The array that takes this kind's place, and the element: `gpc0` is the first of `gpc`.
    pub fn in_array(self) -> Option<(DataType, u16)> {
        Some(match self {
            DataType::Gpt0 => (DataType::Gpt, 0),
            DataType::Gpc0 => (DataType::Gpc, 0),
            DataType::Gpc1 => (DataType::Gpc, 1),
            DataType::Gpc0Rate => (DataType::GpcRate, 0),
            DataType::Gpc1Rate => (DataType::GpcRate, 1),
            _ => return None,
        })
    }

    /// What is stored of a name ([`DataClass::Name`]), never 0, which stands for no name. [`super::Dict`] gives the
    /// name back.
    pub fn name_value(name: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64(name.as_bytes()).max(1)
    }

    /// Words that one element takes.
    pub(super) fn words(self) -> usize {
        match self.info().class {
            DataClass::Rate => 2,
            _ => 1,
        }
    }
}

/// Where one value of an entry is; found once, when the configuration is loaded ([`super::Schema::slot`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Word of the record.
    pub(super) word: u32,
    /// A count of what goes on now (`conn_cur`): each process has its own part of the word.
    pub(super) split: bool,
    /// Behaviour.
    pub class: DataClass,
    /// Of rates, in milliseconds; 1 for others.
    pub period_ms: u32,
    /// Events of the stored rate count for so many (`brates-factor`); 1 for others.
    pub(super) factor: u32,
}

impl Slot {
    /// Words that the value takes.
    pub(super) fn words(self) -> usize {
        if self.class == DataClass::Rate { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum() {
        for (i, r) in DataType::ALL.iter().enumerate() {
            assert_eq!(r.data as usize, i, "{}", r.name);
            assert_eq!(DataType::by_name(r.name), Some(r.data));
        }
    }
}
