//! Parameters in a query string or a form body.

/// Iterator over `name=value` parameters.
#[derive(Clone)]
pub(crate) struct Params<'a> {
    rest: Option<&'a [u8]>,
    delim: Option<u8>,
    form: bool,
}

impl<'a> Params<'a> {
    /// The parameters of a request target: behind the first `?` (or `delim`), between `&`, `;` and `delim`.
    pub(crate) fn of_target(target: &'a [u8], delim: u8) -> Params<'a> {
        let rest = memchr::memchr(delim, target).map(|i| &target[i + 1..]);
        Params { rest, delim: (delim != b'?').then_some(delim), form: false }
    }

    /// The parameters of a form body: between `&`.
    pub(crate) fn of_form(body: &'a [u8]) -> Params<'a> {
        Params { rest: Some(body), delim: None, form: true }
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let end =
                rest.iter().position(|c| *c == b'&' || (!self.form && *c == b';') || Some(*c) == self.delim);
            let one = match end {
                Some(i) => {
                    self.rest = Some(&rest[i + 1..]);
                    &rest[..i]
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            if let Some(eq) = memchr::memchr(b'=', one) {
                return Some((&one[..eq], &one[eq + 1..]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(p: Params<'_>) -> Vec<(String, String)> {
        p.map(|(n, v)| (String::from_utf8_lossy(n).into(), String::from_utf8_lossy(v).into())).collect()
    }

    #[test]
    fn parameters_of_targets() {
        let l = list(Params::of_target(b"/x?a=1&b=2;c=&d&e=3=4", b'?'));
        assert_eq!(l, [("a", "1"), ("b", "2"), ("c", ""), ("e", "3=4")].map(|(a, b)| (a.into(), b.into())));
        let l = list(Params::of_target(b"/foo;JSESSIONID=some_id;x=1?q=2", b';'));
        assert_eq!(l[0], ("JSESSIONID".into(), "some_id".into()));
        assert_eq!(list(Params::of_target(b"/x", b'?')), []);
    }
}
