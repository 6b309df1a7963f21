//! What a check found, in the codes and words that logs, CSV and the statistics page show.

/// Outcome of the last check (management manual, 9.1, `check_status`). The numbers are those of `show servers state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CheckStatus {
    /// Never checked.
    #[default]
    Unknown = 0,
    /// Checks are configured and none has finished.
    Initializing = 1,
    /// The socket could not be created or set up.
    SocketError = 5,
    /// Connected, no upper layer is checked.
    L4Ok = 6,
    /// The connection timed out.
    L4Timeout = 7,
    /// Refused, reset, unreachable.
    L4Conn = 8,
    /// TLS handshake done.
    L6Ok = 9,
    /// TLS handshake timed out.
    L6Timeout = 10,
    /// TLS: protocol error.
    L6Response = 11,
    /// The application answered as expected.
    L7Ok = 15,
    /// The application asked to be taken out (404 with `disable-on-404`).
    L7OkCond = 16,
    /// The application did not answer in time.
    L7Timeout = 12,
    /// The answer was not understood, or not as expected.
    L7Response = 13,
    /// The application answered with an error status.
    L7Status = 17,
    /// The traffic observer gave the verdict (`observe`).
    Observed = 4,
    /// The external program could not run.
    ProcError = 18,
    /// The external program timed out.
    ProcTimeout = 19,
    /// The external program succeeded.
    ProcOk = 20,
}

/// Code, words, and whether it is a success.
const TABLE: [(CheckStatus, &str, &str); 18] = [
    (CheckStatus::Unknown, "UNK", "Unknown"),
    (CheckStatus::Initializing, "INI", "Initializing"),
    (CheckStatus::SocketError, "SOCKERR", "Socket error"),
    (CheckStatus::L4Ok, "L4OK", "Layer4 check passed"),
    (CheckStatus::L4Timeout, "L4TOUT", "Layer4 timeout"),
    (CheckStatus::L4Conn, "L4CON", "Layer4 connection problem"),
    (CheckStatus::L6Ok, "L6OK", "Layer6 check passed"),
    (CheckStatus::L6Timeout, "L6TOUT", "Layer6 timeout"),
    (CheckStatus::L6Response, "L6RSP", "Layer6 invalid response"),
    (CheckStatus::L7Ok, "L7OK", "Layer7 check passed"),
    (CheckStatus::L7OkCond, "L7OKC", "Layer7 check conditionally passed"),
    (CheckStatus::L7Timeout, "L7TOUT", "Layer7 timeout"),
    (CheckStatus::L7Response, "L7RSP", "Layer7 invalid response"),
    (CheckStatus::L7Status, "L7STS", "Layer7 wrong status"),
    (CheckStatus::Observed, "HANA", "Health analyze"),
    (CheckStatus::ProcError, "PROCERR", "External check error"),
    (CheckStatus::ProcTimeout, "PROCTOUT", "External check timeout"),
    (CheckStatus::ProcOk, "PROCOK", "External check passed"),
];

impl CheckStatus {
    fn row(self) -> &'static (CheckStatus, &'static str, &'static str) {
        TABLE.iter().find(|row| row.0 == self).expect("the table has every status")
    }

    /// The short code of the CSV output.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// The words of the log line.
    pub fn words(self) -> &'static str {
        self.row().2
    }

    /// The status stored as `value` in live state; `Unknown` for anything else.
    pub fn from_u8(value: u8) -> CheckStatus {
        TABLE.iter().find(|row| row.0 as u8 == value).map_or(CheckStatus::Unknown, |row| row.0)
    }

    /// True from layer 5 up: only then a status code may be shown beside it.
    pub fn has_code(self) -> bool {
        matches!(
            self,
            CheckStatus::L7Ok
                | CheckStatus::L7OkCond
                | CheckStatus::L7Status
                | CheckStatus::ProcError
                | CheckStatus::ProcOk
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_every_status_once() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(CheckStatus::from_u8(row.0 as u8), row.0);
            assert!(TABLE[..i].iter().all(|r| r.0 != row.0 && r.1 != row.1));
        }
        assert_eq!(CheckStatus::from_u8(200), CheckStatus::Unknown);
        assert_eq!(CheckStatus::L7Status.code(), "L7STS");
        assert_eq!(CheckStatus::L4Conn.words(), "Layer4 connection problem");
    }
}
