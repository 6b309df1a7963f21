//! What a check found, in the codes and words that logs, CSV and the statistics page show.

/// Outcome of the last check (management manual, 9.1, `check_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CheckStatus {
    /// Never checked.
    #[default]
    Unknown = 0,
    /// Checks are configured and none has finished.
    Initializing,
    /// The socket could not be created or set up.
    SocketError,
    /// Connected, no upper layer is checked.
    L4Ok,
    /// The connection timed out.
    L4Timeout,
    /// Refused, reset, unreachable.
    L4Conn,
    /// TLS handshake done.
    L6Ok,
    /// TLS handshake timed out.
    L6Timeout,
    /// TLS: protocol error.
    L6Response,
    /// The application answered as expected.
    L7Ok,
    /// The application asked to be taken out (404 with `disable-on-404`).
    L7OkCond,
    /// The application did not answer in time.
    L7Timeout,
    /// The answer was not understood, or not as expected.
    L7Response,
    /// The application answered with an error status.
    L7Status,
    /// The traffic observer gave the verdict (`observe`).
    Observed,
    /// The external program could not run.
    ProcError,
    /// The external program timed out.
    ProcTimeout,
    /// The external program succeeded.
    ProcOk,
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
    /// The short code of the CSV output.
    pub fn code(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The words of the log line.
    pub fn words(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The status stored as `value` in live state; `Unknown` for anything else.
    pub fn from_u8(value: u8) -> CheckStatus {
        TABLE.get(usize::from(value)).map_or(CheckStatus::Unknown, |row| row.0)
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
    fn table_is_in_order_of_the_values() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, i);
            assert_eq!(CheckStatus::from_u8(i as u8), row.0);
        }
        assert_eq!(CheckStatus::from_u8(200), CheckStatus::Unknown);
        assert_eq!(CheckStatus::L7Status.code(), "L7STS");
        assert_eq!(CheckStatus::L4Conn.words(), "Layer4 connection problem");
    }
}
