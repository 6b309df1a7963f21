//! `cookie` as configured.

use std::time::Duration;

/// Who makes the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CookieMode {
    /// The server makes it, we only follow it (1.x without a mode).
    #[default]
    Passive,
    /// The server makes it, we replace its value by the server's identifier.
    Rewrite,
    /// We make it.
    Insert,
    /// The application makes it, we put the server's identifier and `~` in front.
    Prefix,
}

/// `cookie`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CookieConf {
    /// Cookie name.
    pub name: Vec<u8>,
    /// Mode.
    pub mode: CookieMode,
    /// `indirect`: the server never sees it, a valid one is not sent again.
    pub indirect: bool,
    /// `nocache`: mark responses with an inserted cookie as private.
    pub nocache: bool,
    /// `postonly`: insert into responses to POST only.
    pub postonly: bool,
    /// `preserve`: leave a cookie that the server set itself.
    pub preserve: bool,
    /// `httponly`
    pub httponly: bool,
    /// `secure`
    pub secure: bool,
    /// `domain`, each one a `; domain=` attribute.
    pub domains: Vec<Vec<u8>>,
    /// `maxidle`
    pub maxidle: Option<Duration>,
    /// `maxlife`
    pub maxlife: Option<Duration>,
    /// `attr`, each one appended after `; `.
    pub attrs: Vec<Vec<u8>>,
    /// `dynamic`: server identifiers are hashes of address, port and `dynamic-cookie-key`.
    pub dynamic: bool,
    /// `dynamic-cookie-key`.
    pub dynamic_key: Option<Vec<u8>>,
}

impl CookieConf {
    /// Only followed, never touched: then the log says nothing about cookies.
    pub fn is_silent(&self) -> bool {
        self.mode == CookieMode::Passive && !self.indirect
    }

    /// The server must not see the cookie.
    pub fn hides_from_server(&self) -> bool {
        self.mode == CookieMode::Insert && self.indirect
    }
}
