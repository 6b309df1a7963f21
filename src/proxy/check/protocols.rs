//! The built-in dialogues: mysql, pgsql, redis, smtp, ldap, TLS hello. Each is a request in bytes and a pure
//! look at the answer.

use super::CheckStatus;
use super::rules::{Connect, Expect, Look, Match, Payload, Ruleset, Send, Step};

fn dialogue(steps: Vec<Step>) -> Ruleset {
    let mut all =
        vec![Step::Connect(Connect { implicit: true, default_options: true, ..Connect::default() })];
    all.extend(steps);
    Ruleset { steps: all, ..Ruleset::default() }
}

fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(Send { payload: Payload::Bytes(bytes.into()), comment: None })
}

fn expect(codec: fn(&[u8], bool) -> Look) -> Step {
    Step::Expect(Expect::new(Match::Codec(codec)))
}

fn good(code: u32, info: &str) -> Look {
    Look::Good { code, info: info.to_owned() }
}

fn bad_status(code: u32, info: &[u8]) -> Look {
    Look::Bad { status: CheckStatus::L7Status, code, info: printable(info) }
}

/// Text from the server for a log line: control characters become dots, and it is cut at a sane length.
fn printable(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 128;
    bytes
        .iter()
        .take(SHOWN_MAX)
        .map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' })
        .collect()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// Connect only.
pub fn tcp() -> Ruleset {
    dialogue(Vec::new())
}

/// `option mysql-check`: the greeting, and with a user a login (protocol "HandshakeResponse41" or the one before 4.1).
pub fn mysql(user: Option<&str>, post_41: bool) -> Ruleset {
    let Some(user) = user else { return dialogue(vec![expect(mysql_greeting)]) };
    let mut body = Vec::new();
    if post_41 {
        // CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION, largest packet, utf8, 23 zeroes.
        body.extend_from_slice(&0x8200_u32.to_le_bytes());
        body.extend_from_slice(&0x0100_8000_u32.to_le_bytes());
        body.push(0x21);
        body.extend_from_slice(&[0; 23]);
    } else {
        body.extend_from_slice(&0x8000_u16.to_le_bytes());
        body.extend_from_slice(&[0, 0, 1]);
    }
    body.extend_from_slice(user.as_bytes());
    // The end of the name, and an empty password.
    body.extend_from_slice(&[0, 0]);
    let mut login = (body.len() as u32).to_le_bytes()[..3].to_vec();
    login.push(1);
    login.extend_from_slice(&body);
    // COM_QUIT.
    login.extend_from_slice(&[1, 0, 0, 0, 1]);
    dialogue(vec![expect(mysql_greeting), send(login), expect(mysql_login_answer)])
}

/// One packet's payload: 3 bytes of length, 1 of sequence, the payload. `None`: not all there.
fn mysql_packet(data: &[u8]) -> Option<&[u8]> {
    let len =
        usize::from(*data.first()?) | usize::from(*data.get(1)?) << 8 | usize::from(*data.get(2)?) << 16;
    data.get(4..4 + len)
}

fn mysql_error(payload: &[u8]) -> Look {
    let code = u32::from(payload.get(1).copied().unwrap_or(0))
        | u32::from(payload.get(2).copied().unwrap_or(0)) << 8;
    bad_status(code, payload.get(3..).unwrap_or(&[]))
}

fn mysql_greeting(data: &[u8], ended: bool) -> Look {
    // An error packet from an overloaded server may be cut short; it is clear without its end.
    if data.get(4) == Some(&0xff) && data.len() >= 7 {
        return mysql_error(&data[4..]);
    }
    match mysql_packet(data) {
        None if ended => Look::invalid(""),
        None => Look::More,
        Some([10, rest @ ..]) if rest.contains(&0) => good(0, &printable(until_nul(rest))),
        Some([9, rest @ ..]) if rest.contains(&0) => good(0, &printable(until_nul(rest))),
        Some(_) => Look::invalid(""),
    }
}

fn mysql_login_answer(data: &[u8], ended: bool) -> Look {
    if data.get(4) == Some(&0xff) && data.len() >= 7 {
        return mysql_error(&data[4..]);
    }
    match mysql_packet(data) {
        None if ended => Look::invalid(""),
        None => Look::More,
        Some(_) => good(0, "MySQL server is ok"),
    }
}

/// `option pgsql-check user NAME`: the startup message of protocol 2, answered by an authentication request.
pub fn pgsql(user: &str) -> Ruleset {
    // Protocol 3.0; "user", its name, end of the list.
    let mut body = vec![0, 3, 0, 0];
    body.extend_from_slice(b"user\0");
    body.extend_from_slice(user.as_bytes());
    body.extend_from_slice(&[0, 0]);
    let mut message = (body.len() as u32 + 4).to_be_bytes().to_vec();
    message.extend_from_slice(&body);
    dialogue(vec![send(message), expect(pgsql_answer)])
}

fn pgsql_answer(data: &[u8], ended: bool) -> Look {
    match data {
        [b'R', rest @ ..] if rest.len() >= 8 => good(0, "PostgreSQL server is ok"),
        // ErrorResponse: length, then fields of a letter and a text; the first one is the severity.
        [b'E', rest @ ..] if rest.len() > 5 && (rest[5..].contains(&0) || ended) => {
            Look::invalid(&printable(until_nul(&rest[5..])))
        }
        [b'R' | b'E', ..] if !ended => Look::More,
        [] => Look::More,
        _ => bad_status(0, b"PostgreSQL unknown error"),
    }
}

/// `option redis-check`: PING.
pub fn redis() -> Ruleset {
    dialogue(vec![send(*b"*1\r\n$4\r\nPING\r\n"), expect(redis_answer)])
}

fn redis_answer(data: &[u8], ended: bool) -> Look {
    const PONG: &[u8] = b"+PONG\r\n";
    if data.starts_with(PONG) {
        return good(0, "Redis server is ok");
    }
    if PONG.starts_with(data) && !ended {
        return Look::More;
    }
    match data.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        Some(end) => bad_status(0, &data[..end]),
        None if ended => bad_status(0, data),
        None => Look::More,
    }
}

/// `option smtpchk`: greeting, `HELO localhost` (or what was configured), QUIT.
pub fn smtp(hello: &str) -> Ruleset {
    dialogue(vec![
        expect(smtp_reply),
        send(format!("{hello}\r\n")),
        expect(smtp_reply),
        send(*b"QUIT\r\n"),
        expect(smtp_reply),
    ])
}

/// A reply of one or more lines (RFC 5321 4.2): "250-..." goes on, "250 ..." is the last.
fn smtp_reply(data: &[u8], ended: bool) -> Look {
    let mut rest = data;
    loop {
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            return if ended { smtp_bad_form(rest) } else { Look::More };
        };
        let line = rest[..end].trim_ascii_end();
        rest = &rest[end + 1..];
        let digits = line.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit));
        let Some(digits) = digits else { return smtp_bad_form(line) };
        let code = digits.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0'));
        let text = line.get(4..).unwrap_or(&[]);
        match line.get(3) {
            _ if digits[0] != b'2' => return bad_status(code, text),
            Some(b'-') => {}
            Some(b' ') | None => return good(code, &printable(text)),
            Some(_) => return smtp_bad_form(line),
        }
    }
}

fn smtp_bad_form(line: &[u8]) -> Look {
    Look::invalid(&printable(line))
}

/// `option ldap-check`: an anonymous simple bind (RFC 4511 4.2).
pub fn ldap() -> Ruleset {
    dialogue(vec![
        send([0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00]),
        expect(ldap_answer),
    ])
}

fn ldap_answer(data: &[u8], ended: bool) -> Look {
    const NOT_LDAP: &str = "Not LDAPv3 protocol";
    match ldap_result(data) {
        Ok(Some(0)) => good(0, "Success"),
        Ok(Some(code)) => Look::Bad {
            status: CheckStatus::L7Status,
            code,
            info: "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9".to_owned(),
        },
        Ok(None) if !ended => Look::More,
        Ok(None) | Err(()) => Look::invalid(NOT_LDAP),
    }
}

/// The result code of a bind response: `SEQUENCE { messageID 1, bindResponse [APPLICATION 1] { resultCode ... } }` in
/// BER. `Ok(None)`: not all there yet.
fn ldap_result(data: &[u8]) -> Result<Option<u32>, ()> {
    let Some(message) = ber_content(data, 0x30)? else { return Ok(None) };
    let id = [0x02, 0x01, 0x01];
    if !id.iter().zip(message).all(|(a, b)| a == b) {
        return Err(());
    }
    let Some(response) = ber_content(message.get(3..).unwrap_or(&[]), 0x61)? else { return Ok(None) };
    let result = [0x0a, 0x01];
    if !result.iter().zip(response).all(|(a, b)| a == b) {
        return Err(());
    }
    Ok(response.get(2).map(|code| u32::from(*code)))
}

/// What follows the tag and the length of a BER value, as far as it is there.
fn ber_content(data: &[u8], tag: u8) -> Result<Option<&[u8]>, ()> {
    if data.first().is_some_and(|t| *t != tag) {
        return Err(());
    }
    let Some(length) = data.get(1) else { return Ok(None) };
    // Long form: that many more bytes of length.
    let more = if length & 0x80 != 0 { usize::from(length & 0x7f) } else { 0 };
    if more > 4 {
        return Err(());
    }
    Ok(data.get(2 + more..))
}

/// `option ssl-hello-chk`: an SSLv3 hello, to which TLS servers answer with a hello or an alert.
pub fn ssl_hello() -> Ruleset {
    let mut hello = vec![3, 0, 0, 0, 0, 0];
    hello.extend_from_slice(b"haring ssl-hello-chk request");
    hello.push(0);
    // The suites of SSLv3 and AES, two bytes each.
    let suites: Vec<u8> = (1..=0x1b).chain(0x2f..=0x3a).flat_map(|n: u16| n.to_be_bytes()).collect();
    hello.extend_from_slice(&(suites.len() as u16).to_be_bytes());
    hello.extend_from_slice(&suites);
    hello.extend_from_slice(&[1, 0]);
    let mut record = vec![0x16, 3, 0];
    record.extend_from_slice(&(hello.len() as u16 + 4).to_be_bytes());
    record.push(1);
    record.extend_from_slice(&(hello.len() as u32).to_be_bytes()[1..]);
    record.extend_from_slice(&hello);
    let mut answer = Expect::new(Match::Codec(tls_answer));
    answer.ok_status = Some(CheckStatus::L6Ok);
    answer.error_status = Some(CheckStatus::L6Response);
    answer.timeout_status = Some(CheckStatus::L6Timeout);
    dialogue(vec![send(record), Step::Expect(answer)])
}

fn tls_answer(data: &[u8], _ended: bool) -> Look {
    match data.first() {
        // A handshake record, or an alert: either way TLS is spoken.
        Some(0x15 | 0x16) => good(0, ""),
        Some(_) => Look::invalid(""),
        None => Look::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(rules: &Ruleset) -> Vec<Vec<u8>> {
        let bytes = |s: &Step| match s {
            Step::Send(Send { payload: Payload::Bytes(b), .. }) => Some(b.clone()),
            _ => None,
        };
        rules.steps.iter().filter_map(bytes).collect()
    }

    #[test]
    fn requests_are_well_formed() {
        let login = &sent(&mysql(Some("foo"), true))[0];
        assert_eq!(&login[..13], b"\x25\0\0\x01\0\x82\0\0\0\x80\0\x01\x21");
        assert!(login.ends_with(b"foo\0\0\x01\0\0\0\x01"));
        assert_eq!(login.len(), 4 + 37 + 5);
        assert_eq!(sent(&mysql(Some("foo"), false))[0], b"\n\0\0\x01\0\x80\0\0\x01foo\0\0\x01\0\0\0\x01");
        assert_eq!(sent(&pgsql("foo"))[0], b"\0\0\0\x12\0\x03\0\0user\0foo\0\0");
        let hello = &sent(&ssl_hello())[0];
        assert_eq!(usize::from(hello[3]) << 8 | usize::from(hello[4]), hello.len() - 5);
        assert_eq!(usize::from(hello[8]), hello.len() - 9);
        assert_eq!(sent(&smtp("EHLO me"))[0], b"EHLO me\r\n");
    }

    #[test]
    fn mysql_answers() {
        let mut greeting = vec![0x4a, 0, 0, 0, 10];
        greeting.extend_from_slice(b"5.7.30-log\0");
        assert_eq!(mysql_greeting(&greeting, false), Look::More);
        greeting.resize(4 + 0x4a, b'a');
        assert_eq!(mysql_greeting(&greeting, false), good(0, "5.7.30-log"));
        assert_eq!(mysql_greeting(b"\x05\0\0\0\xff\x10\x04abc", false), bad_status(1040, b"abc"));
        assert_eq!(mysql_greeting(b"HTTP/1.0 200 OK\r\n", true), Look::invalid(""));
        assert_eq!(mysql_login_answer(b"\x07\0\0\x02\0\0\0\x02\0\0\0", false), good(0, "MySQL server is ok"));
    }

    #[test]
    fn other_answers() {
        assert_eq!(pgsql_answer(b"R\0\0\0\x08\0\0\0\0", false), good(0, "PostgreSQL server is ok"));
        assert_eq!(pgsql_answer(b"E\0\0\0\x20SFATAL\0C28000\0\0", false), Look::invalid("FATAL"));
        assert_eq!(pgsql_answer(b"HTTP", false), bad_status(0, b"PostgreSQL unknown error"));
        assert_eq!(redis_answer(b"+PO", false), Look::More);
        assert_eq!(redis_answer(b"+PONG\r\n", false), good(0, "Redis server is ok"));
        assert_eq!(redis_answer(b"-LOADING x\r\n", false), bad_status(0, b"-LOADING x"));
        assert_eq!(smtp_reply(b"220-a\r\n220 b\r\n", false), good(220, "b"));
        assert_eq!(smtp_reply(b"554 no service\r\n", false), bad_status(554, b"no service"));
        assert_eq!(smtp_reply(b"+OK hello\r\n", false), Look::invalid("+OK hello"));
        assert_eq!(smtp_reply(b"220", false), Look::More);
        let bind = b"0\x0c\x02\x01\x01a\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(ldap_answer(bind, false), good(0, "Success"));
        let mut refused = *bind;
        refused[9] = 1;
        assert!(matches!(ldap_answer(&refused, false), Look::Bad { code: 1, .. }));
        let long = b"0\x84\0\0\0\x10\x02\x01\x01a\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0";
        assert_eq!(ldap_answer(long, false), good(0, "Success"));
        for cut in 0..17 {
            assert_eq!(ldap_answer(&long[..cut], false), Look::More, "{cut}");
        }
        assert_eq!(ldap_answer(b"HTTP/1.0 200 OK\r\n", false), Look::invalid("Not LDAPv3 protocol"));
        assert_eq!(tls_answer(b"\x15\x03", false), good(0, ""));
        assert_eq!(tls_answer(b"HTTP", false), Look::invalid(""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn codecs_take_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..64), start in 0u8..0x40, ended: bool) {
            for codec in [mysql_greeting, mysql_login_answer, pgsql_answer, redis_answer, smtp_reply, ldap_answer, tls_answer] {
                codec(&data, ended);
                // Plausible beginnings go deeper.
                for head in [&b"R\0"[..], b"E\0\0", b"+PON", b"25", b"0\x84\0\0\0", b"0\x0c\x02\x01\x01a", &[start, 0, 0, 0, 0xff]] {
                    codec(&[head, &data].concat(), ended);
                }
            }
        }
    }
}
