//! Persistence cookies (`cookie` in a backend). Pure: header values in, decision and edits out.
//!
//! What is done in which case, and the two characters of the log, were compared with HAProxy 2.6 case by case;
//! the table is in the tests.

mod conf;
mod date;
mod dynamic;
mod request;
mod response;

pub use conf::{CookieConf, CookieMode};
pub use dynamic::dynamic_value;
pub use request::request;
pub use response::response;

/// The first of the log's two cookie characters (manual 8.5): what the client's cookie said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Seen {
    /// `-`: persistence was not looked at.
    #[default]
    NotLooked,
    /// `N`: no cookie.
    None,
    /// `I`: a cookie that names no server.
    Invalid,
    /// `D`: names a server that is down.
    Down,
    /// `V`: valid.
    Valid,
    /// `E`: expired (`maxidle`).
    Expired,
    /// `O`: too old (`maxlife`).
    Old,
    /// `U`: a valid cookie was there, but the server was chosen otherwise (`use-server`).
    Unused,
}

impl Seen {
    /// The character of the log.
    pub fn log_char(self) -> u8 {
        match self {
            Seen::NotLooked => b'-',
            Seen::None => b'N',
            Seen::Invalid => b'I',
            Seen::Down => b'D',
            Seen::Valid => b'V',
            Seen::Expired => b'E',
            Seen::Old => b'O',
            Seen::Unused => b'U',
        }
    }
}

/// The second of the log's two cookie characters: what was done to the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Done {
    /// `-`: nothing to say.
    #[default]
    Nothing,
    /// `N`: the server sent no cookie and none was inserted.
    None,
    /// `I`: inserted by us.
    Inserted,
    /// `P`: the server's own was passed as it was.
    Passed,
    /// `R`: the server's was rewritten (rewrite, prefix).
    Rewritten,
    /// `D`: the server's was deleted (indirect).
    Deleted,
    /// `U`: inserted again because its date moved (`maxidle`).
    Updated,
}

impl Done {
    /// The character of the log.
    pub fn log_char(self) -> u8 {
        match self {
            Done::Nothing => b'-',
            Done::None => b'N',
            Done::Inserted => b'I',
            Done::Passed => b'P',
            Done::Rewritten => b'R',
            Done::Deleted => b'D',
            Done::Updated => b'U',
        }
    }
}

/// What must happen to one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Drop the whole header.
    Remove,
    /// Give it this value.
    Replace(Vec<u8>),
}

/// What the request's cookies say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOutcome {
    /// The server to stay with: position in `Backend::servers`.
    pub server: Option<usize>,
    /// A `use-server` rule chose this server, whatever the cookie says: then no cookie is inserted. See
    /// [`RequestOutcome::overrule`].
    pub by_rule: Option<usize>,
    /// For the log and for the response.
    pub seen: Seen,
    /// Edits, by position in the list of values handed in.
    pub edits: Vec<(usize, Edit)>,
    /// Date of the last visit in the cookie (`maxidle`), units of four seconds; 0: none.
    pub last_date: u32,
    /// Date of the first visit in the cookie (`maxlife`), units of four seconds; 0: none.
    pub first_date: u32,
}

impl RequestOutcome {
    /// A rule chose `server` (position in `Backend::servers`): the cookie does not count.
    pub fn overrule(&mut self, server: usize) {
        self.by_rule = Some(server);
        self.server = None;
        if !matches!(self.seen, Seen::None | Seen::NotLooked) {
            self.seen = Seen::Unused;
        }
    }

    /// True when `server` is the one that the cookie or a rule asked for.
    pub fn asked_for(&self, server: usize) -> bool {
        self.server == Some(server) || self.by_rule == Some(server)
    }
}

/// What must happen to the response's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseOutcome {
    /// For the log.
    pub done: Done,
    /// Edits of `Set-Cookie` headers, by position in the list of values handed in.
    pub edits: Vec<(usize, Edit)>,
    /// A `Set-Cookie` value to add.
    pub add: Option<Vec<u8>>,
    /// Add `Cache-control: private`.
    pub cache_private: bool,
}

/// Facts about the exchange that the response side needs.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The server that answered: position in `Backend::servers`.
    pub server: usize,
    /// What the request said.
    pub request: &'a RequestOutcome,
    /// The request was a POST (`postonly`).
    pub post: bool,
    /// Neither cookie nor server choice counted for persistence (`ignore-persist`).
    pub ignore: bool,
}

#[cfg(test)]
mod tests;
