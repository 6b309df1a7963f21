//! What a rule set decided.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::Loc;
use crate::http1::pages::StoredResponse;
use crate::log::LogFormat;
use crate::sample::Scratch;

/// The end of a rule set's evaluation.
#[derive(Debug)]
pub enum Verdict<'r> {
    /// No rule ended it: go on.
    Continue,
    /// `allow`, `accept`: go on, and skip the rest of this set.
    Allow,
    /// More input may change the outcome: call again with the same position when there is more, or when
    /// the inspect delay is over.
    Wait,
    /// `wait-for-body`: buffer the body, then call again with the same position.
    WaitForBody {
        /// At most this long.
        time: Duration,
        /// Until this many bytes are buffered; 0: the whole body or a full buffer.
        at_least: u64,
    },
    /// `pause`: call again with the same position after this time.
    Pause(Duration),
    /// `deny`, `block`: answer; the stream counts a denied message.
    Deny(&'r Answer),
    /// `tarpit`: the same after the tarpit timeout.
    Tarpit(&'r Answer),
    /// `return`: answer; not an error.
    Return(&'r Answer),
    /// `redirect`.
    Redirect(Redirect<'r>),
    /// `auth`: 401 (407 for proxies) with this realm.
    Auth {
        /// The realm.
        realm: &'r [u8],
    },
    /// `reject`: close without an answer.
    Reject,
    /// `silent-drop`: make the connection vanish without a packet.
    SilentDrop,
    /// `tcp-response content close`: close the server connection.
    Close,
    /// `switch-mode http`.
    SwitchToHttp,
    /// `use-service NAME`.
    UseService(&'r str),
}

/// An answer that we give ourselves.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Content-Type of a body that is not a whole message.
    pub content_type: Option<Vec<u8>>,
    /// Fields to add to an answer that is not a stored one: name and value.
    pub headers: Vec<(Vec<u8>, LogFormat)>,
    /// Body.
    pub body: AnswerBody,
}

impl Answer {
    /// The error page of that status.
    pub fn page(status: u16) -> Answer {
        Answer { status, content_type: None, headers: Vec::new(), body: AnswerBody::ErrorPage }
    }
}

/// Where the body comes from.
#[derive(Clone, Debug)]
pub enum AnswerBody {
    /// The proxy's error page for the status, or the built-in one.
    ErrorPage,
    /// No body.
    Empty,
    /// Not even a head: an empty `errorfile` closes the connection.
    Silence,
    /// As written or read from a file.
    Bytes(Vec<u8>),
    /// Rendered for each request.
    Format(LogFormat),
    /// A whole message: head and body (`errorfile`).
    Stored(Arc<StoredResponse>),
    /// The page of an `http-errors` section (`errorfiles`).
    Section(Arc<PageRef>),
}

/// A page in an `http-errors` section, resolved once all sections were read.
#[derive(Debug)]
pub struct PageRef {
    /// Name of the section.
    pub section: String,
    /// Status of the page.
    pub status: u16,
    /// Where it is asked for.
    pub loc: Loc,
    page: OnceLock<Vec<u8>>,
}

impl PageRef {
    /// Not resolved yet.
    pub fn new(section: String, status: u16, loc: Loc) -> Arc<PageRef> {
        Arc::new(PageRef { section, status, loc, page: OnceLock::new() })
    }
    /// Say what it is: the whole message.
    pub fn resolve(&self, message: Vec<u8>) {
        let _ = self.page.set(message);
    }
    /// The whole message; `None` when the section has no page of that status.
    pub fn page(&self) -> Option<&[u8]> {
        self.page.get().map(Vec::as_slice)
    }
}

/// A redirect, its location ready.
#[derive(Debug)]
pub struct Redirect<'r> {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Value of `Location`.
    pub location: Scratch,
    /// Value of a `Set-Cookie`.
    pub set_cookie: Option<&'r [u8]>,
}
