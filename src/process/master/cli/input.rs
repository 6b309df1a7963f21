//! What a client sends: lines of commands, payloads, prefixes. No sockets here.

use std::collections::VecDeque;

use crate::cli::line;

/// Longest command line; workers take no longer ones either.
pub const LINE_MAX: usize = 16 << 10;
/// Longest payload.
pub const PAYLOAD_MAX: usize = 1 << 20;

const TOO_LONG: &str = "The command line is too long: 16384 bytes at most. A payload (<<) may be longer.\n";
const PAYLOAD_TOO_LONG: &str = "The payload is too long: 1048576 bytes at most.\n";

/// One command of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its text as it was sent, with its prefix and its backslashes.
    pub text: String,
    /// What follows `<<`: the mark that ends it, and its lines.
    pub payload: Option<(String, String)>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The commands of a line; none when it was empty.
    Line(VecDeque<Piece>),
    /// A payload's next line is awaited.
    Payload,
    /// That was too much; what to say about it. The stream is of no use any more.
    TooLong(&'static str),
    /// More has to be read.
    Wait,
}

/// What was read and not used yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Input {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far it was searched for the end of a line.
    searched: usize,
    collect: Option<Collect>,
}

/// A payload that is being read.
#[derive(Debug, PartialEq, Eq)]
struct Collect {
    line: String,
    mark: String,
    text: String,
}

impl Input {
    /// More has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// A payload is being read.
    pub fn is_collecting(&self) -> bool {
        self.collect.is_some()
    }

    /// Everything that was not used yet, for somebody else.
    pub fn take_all(&mut self) -> Vec<u8> {
        self.push(b"");
        self.searched = 0;
        std::mem::take(&mut self.bytes)
    }

    fn line(&mut self, max: usize) -> Result<Option<String>, ()> {
        let end = self.bytes[self.searched..].iter().position(|b| *b == b'\n').map(|at| at + self.searched);
        if end.unwrap_or(self.bytes.len()) - self.start > max {
            return Err(());
        }
        let Some(end) = end else {
            self.searched = self.bytes.len();
            return Ok(None);
        };
        let line = &self.bytes[self.start..end];
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        (self.start, self.searched) = (end + 1, end + 1);
        Ok(Some(line))
    }

    /// What comes next.
    pub fn next(&mut self) -> Event {
        let (max, too_long) =
            if self.is_collecting() { (PAYLOAD_MAX, PAYLOAD_TOO_LONG) } else { (LINE_MAX, TOO_LONG) };
        let line = match self.line(max) {
            Ok(Some(line)) => line,
            Ok(None) => return Event::Wait,
            Err(()) => return Event::TooLong(too_long),
        };
        match self.collect.take() {
            None => match line::payload_mark(&line) {
                None => Event::Line(pieces(&line)),
                Some((head, mark)) => {
                    let (line, mark) = (head.to_owned(), mark.to_owned());
                    self.collect = Some(Collect { line, mark, text: String::new() });
                    Event::Payload
                }
            },
            Some(done) if line == done.mark => {
                let mut all = pieces(&done.line);
                if let Some(last) = all.back_mut() {
                    last.payload = Some((done.mark, done.text));
                }
                Event::Line(all)
            }
            Some(more) if more.text.len() + line.len() > PAYLOAD_MAX => Event::TooLong(PAYLOAD_TOO_LONG),
            Some(mut more) => {
                more.text.push_str(&line);
                more.text.push('\n');
                self.collect = Some(more);
                Event::Payload
            }
        }
    }

    /// For the next image: as words.
    pub fn save(&self) -> [String; 4] {
        let rest = bytes_to_word(&self.bytes[self.start..]);
        match &self.collect {
            None => [rest, "-".to_owned(), String::new(), String::new()],
            Some(c) => [rest, format!("<{}", c.line), c.mark.clone(), c.text.clone()],
        }
    }

    /// What [`Input::save`] has written.
    pub fn restore(words: [&str; 4]) -> Input {
        let [rest, line, mark, text] = words;
        let collect = line.strip_prefix('<').map(|line| Collect {
            line: line.to_owned(),
            mark: mark.to_owned(),
            text: text.to_owned(),
        });
        Input { bytes: word_to_bytes(rest), start: 0, searched: 0, collect }
    }
}

/// Bytes as text, one character each.
pub fn bytes_to_word(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// What [`bytes_to_word`] has written.
pub fn word_to_bytes(word: &str) -> Vec<u8> {
    word.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

/// Cut a line at each `;` without a backslash before it. What `@@` begins goes to the end of the line. Empty commands
/// are left out.
pub fn pieces(line: &str) -> VecDeque<Piece> {
    let mut all = VecDeque::new();
    let mut rest = line;
    while !rest.is_empty() {
        let end = if rest.trim_start().starts_with("@@") { rest.len() } else { end_of_command(rest) };
        let text = &rest[..end];
        // A blank behind a backslash belongs to a word.
        if !text.trim().is_empty() {
            all.push_back(Piece { text: text.trim_start().to_owned(), payload: None });
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    all
}

fn end_of_command(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ';' => return at,
            _ => {}
        }
    }
    text.len()
}

/// The prefix of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix<'a> {
    /// None.
    None,
    /// `@<name>`: this command, or all that follow when there is none.
    At(&'a str),
    /// `@@<name>`: the whole line, or a session of its own.
    AtAt(&'a str),
}

/// The prefix of a command, and the command without it.
pub fn prefix(text: &str) -> (Prefix<'_>, &str) {
    let Some(behind) = text.strip_prefix('@') else { return (Prefix::None, text) };
    let end = behind.find([' ', '\t']).unwrap_or(behind.len());
    let (name, rest) = (&behind[..end], behind[end..].trim_start());
    match name.strip_prefix('@') {
        Some(name) => (Prefix::AtAt(name), rest),
        None => (Prefix::At(name), rest),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        pieces(line).into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn commands_keep_their_backslashes_on_the_way_to_a_worker() {
        assert_eq!(texts("show proc"), ["show proc"]);
        assert_eq!(
            texts("@1 add acl f Mon\\ User\\;;@1 show acl f"),
            ["@1 add acl f Mon\\ User\\;", "@1 show acl f"]
        );
        assert_eq!(texts("@1; show info ; ;@master;"), ["@1", "show info ", "@master"]);
        assert_eq!(texts("a; @@1 b; c; d"), ["a", "@@1 b; c; d"]);
        assert!(texts(" ; ;").is_empty() && texts("").is_empty());
        assert_eq!(texts("é\\;é;\\"), ["é\\;é", "\\"]);
    }

    #[test]
    fn prefixes() {
        assert_eq!(prefix("show proc"), (Prefix::None, "show proc"));
        assert_eq!(prefix("@1 show info"), (Prefix::At("1"), "show info"));
        assert_eq!(prefix("@!12  x "), (Prefix::At("!12"), "x "));
        assert_eq!(prefix("@"), (Prefix::At(""), ""));
        assert_eq!(prefix("@@1 a; b"), (Prefix::AtAt("1"), "a; b"));
        assert_eq!(prefix("@@1"), (Prefix::AtAt("1"), ""));
    }

    #[test]
    fn a_payload_belongs_to_the_last_command_of_its_line() {
        let mut input = Input::default();
        input.push(b"@1 show map; @1 add map #1 <<END\nk v\n\nEND\nshow proc\n");
        assert_eq!(input.next(), Event::Payload);
        assert!(input.is_collecting());
        assert_eq!((input.next(), input.next()), (Event::Payload, Event::Payload));
        let Event::Line(all) = input.next() else { panic!("a line") };
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].payload, None);
        assert_eq!(all[1].text, "@1 add map #1 ");
        assert_eq!(all[1].payload, Some(("END".to_owned(), "k v\n\n".to_owned())));
        assert_eq!(input.next(), Event::Line(pieces("show proc")));
        assert_eq!(input.next(), Event::Wait);
        // Nobody to give it to.
        input.push(b" ; <<\nx\n\n");
        assert_eq!((input.next(), input.next()), (Event::Payload, Event::Payload));
        assert_eq!(input.next(), Event::Line(VecDeque::new()));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut input = Input::default();
        input.push(&vec![b'x'; LINE_MAX]);
        assert_eq!(input.next(), Event::Wait);
        input.push(b"x");
        assert_eq!(input.next(), Event::TooLong(TOO_LONG));
        let mut input = Input::default();
        input.push(b"a <<\n");
        input.next();
        let line = [vec![b'x'; 99_999], vec![b'\n']].concat();
        for _ in 0..10 {
            input.push(&line);
            assert_eq!(input.next(), Event::Payload);
        }
        input.push(&line);
        assert_eq!(input.next(), Event::TooLong(PAYLOAD_TOO_LONG));
    }

    fn drain(input: &mut Input, out: &mut Vec<Event>) {
        loop {
            match input.next() {
                Event::Wait => return,
                event => out.push(event),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// However it is cut on its way, and whatever image of the process reads on.
        #[test]
        fn cuts_make_no_difference(
            text in "(show proc|@1 a\\\\;b;c|x <<E|E|<<|;|[a-z@; ]{0,6}|\\PC{0,3}|\r)(\n(show|y <<|\\PC{0,4}|E|@@1 x;y|))*\n",
            cuts in proptest::collection::vec(1_usize..9, 0..40),
        ) {
            let mut whole = Vec::new();
            let mut input = Input::default();
            input.push(text.as_bytes());
            drain(&mut input, &mut whole);
            let mut cut = Vec::new();
            let mut input = Input::default();
            let mut rest = text.as_bytes();
            for n in cuts {
                let (part, more) = rest.split_at(n.min(rest.len()));
                rest = more;
                input.push(part);
                let words = input.save();
                input = Input::restore([&words[0], &words[1], &words[2], &words[3]]);
                drain(&mut input, &mut cut);
            }
            input.push(rest);
            drain(&mut input, &mut cut);
            prop_assert_eq!(whole, cut);
        }

        /// A worker cuts what is left of a line, with all prefixes gone, into the same words.
        #[test]
        fn a_worker_understands_what_is_passed_on(words in proptest::collection::vec("[ -~]{1,6}", 1..4)) {
            let escaped: Vec<String> =
                words.iter().map(|w| w.chars().map(|c| format!("\\{c}")).collect::<String>()).collect();
            let line = format!("@1 {};@1 x", escaped.join(" "));
            let all = pieces(&line);
            prop_assert_eq!(all.len(), 2);
            prop_assert_eq!(line::commands(prefix(&all[0].text).1), [words]);
        }

        #[test]
        fn bytes_are_kept(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(word_to_bytes(&bytes_to_word(&bytes)), bytes);
        }
    }
}
