//! The field (header) list: ordered, original bytes kept, edits as an overlay.

use super::field_id::FieldId;
use super::token;
use std::ops::Range;

/// A range of bytes in a head's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// The span of `range`. Heads are far below 4 GiB (`tune.bufsize`), so the casts lose nothing.
    #[inline]
    pub(crate) fn new(range: Range<usize>) -> Span {
        debug_assert!(range.end <= u32::MAX as usize && range.start <= range.end);
        Span { start: range.start as u32, len: (range.end - range.start) as u32 }
    }

    /// The span as a range of indexes.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// One field line: where its name and its value stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: u32,
    pub(crate) value: Span,
    pub(crate) name_len: u16,
    pub(crate) id: FieldId,
    removed: bool,
}

/// A field as it stands now, with its position for in-place edits.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Position for [`Fields::set_value_at`], [`Fields::splice_value`] and [`Fields::remove_at`]; stays valid
    /// until the head is cleared.
    pub index: usize,
    /// Identity of the name.
    pub id: FieldId,
    /// Name, in the case it arrived in.
    pub name: &'a [u8],
    /// Value without white space around it.
    pub value: &'a [u8],
}

/// The ordered field list of a head together with the buffer that holds its bytes.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub(crate) buf: Vec<u8>,
    list: Vec<Entry>,
    /// One bit for each known identity that has been in the list. Removing the last such field clears it.
    present: u64,
}

impl Fields {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.list.clear();
        self.present = 0;
    }

    /// Adds a field whose bytes are (or will be) at these places of the buffer.
    #[inline]
    pub(crate) fn push_span(&mut self, name: Range<usize>, value: Span, id: FieldId) {
        debug_assert!(name.len() <= usize::from(u16::MAX));
        self.present |= id.bit();
        self.list.push(Entry {
            name: name.start as u32,
            value,
            name_len: name.len() as u16,
            id,
            removed: false,
        });
    }

    /// Turns the line breaks inside values (obs-fold) into spaces.
    pub(crate) fn unfold(&mut self) {
        for e in &self.list {
            for b in &mut self.buf[e.value.range()] {
                if matches!(b, b'\r' | b'\n') {
                    *b = b' ';
                }
            }
        }
    }

    #[inline]
    fn field(&self, index: usize) -> Field<'_> {
        let e = &self.list[index];
        let name = e.name as usize;
        Field {
            index,
            id: e.id,
            name: &self.buf[name..name + usize::from(e.name_len)],
            value: &self.buf[e.value.range()],
        }
    }

    /// The bytes of a span of this head.
    #[inline]
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.buf[span.range()]
    }

    /// Where the name of the field at `index` stands in the head's bytes (for error positions).
    pub(crate) fn name_position(&self, index: usize) -> usize {
        self.list[index].name as usize
    }

    /// Appends bytes to the buffer and says where they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.buf.len();
        self.buf.extend_from_slice(bytes);
        Span::new(start..self.buf.len())
    }

    /// All fields in order, removed ones left out.
    #[inline]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Field<'_>> {
        (0..self.list.len()).filter(|&i| !self.list[i].removed).map(|i| self.field(i))
    }

    /// All fields in order as (name, value).
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.entries().map(|f| (f.name, f.value))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|e| !e.removed).count()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a known field is there: one bit test.
    #[inline]
    pub fn has_id(&self, id: FieldId) -> bool {
        self.present & id.bit() != 0
    }

    /// Whether a field of that name (any case) is there.
    pub fn has(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// The fields of that name in order.
    #[inline]
    pub fn named<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = Field<'a>> {
        let id = FieldId::from_name(name);
        let end = if id != FieldId::Other && !self.has_id(id) { 0 } else { self.list.len() };
        (0..end).filter_map(move |i| {
            let e = &self.list[i];
            if e.removed || e.id != id || usize::from(e.name_len) != name.len() {
                return None;
            }
            let f = self.field(i);
            (id != FieldId::Other || f.name.eq_ignore_ascii_case(name)).then_some(f)
        })
    }

    /// The fields of a known name in order.
    #[inline]
    pub fn with_id(&self, id: FieldId) -> impl DoubleEndedIterator<Item = Field<'_>> {
        let end = if self.has_id(id) { self.list.len() } else { 0 };
        (0..end).filter(move |&i| self.list[i].id == id && !self.list[i].removed).map(|i| self.field(i))
    }

    /// The first value of that name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.named(name).next().map(|f| self.field(f.index).value)
    }

    /// The first value of a known name.
    #[inline]
    pub fn get_id(&self, id: FieldId) -> Option<&[u8]> {
        self.with_id(id).next().map(|f| f.value)
    }

    /// The value of one occurrence of the whole field (commas do not cut): 1 is the first, -1 the last; 0 is
    /// taken as -1, as HAProxy's `req.fhdr(name)` without occurrence means the last.
    pub fn get_nth(&self, name: &[u8], occurrence: i64) -> Option<&[u8]> {
        nth_signed(self.named(name), occurrence).map(|f| self.field(f.index).value)
    }

    /// The last value of that name.
    pub fn last(&self, name: &[u8]) -> Option<&[u8]> {
        self.get_nth(name, -1)
    }

    /// The values of that name, cut at commas (quoted strings respected), over all its fields in order.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> CommaValues<'a> {
        CommaValues { fields: self, name, id: FieldId::from_name(name), next: 0, rest: None }
    }

    /// One comma-separated value of that name: 1 is the first, -1 the last, 0 is taken as -1.
    pub fn value_nth<'a>(&'a self, name: &'a [u8], occurrence: i64) -> Option<&'a [u8]> {
        if occurrence > 0 {
            return self.values(name).nth(usize::try_from(occurrence - 1).ok()?);
        }
        let back = usize::try_from(occurrence.unsigned_abs().max(1)).ok()?;
        let count = self.values(name).count();
        self.values(name).nth(count.checked_sub(back)?)
    }

    /// Number of fields of that name.
    pub fn count(&self, name: &[u8]) -> usize {
        self.named(name).count()
    }

    /// Number of comma-separated values of that name.
    pub fn count_values(&self, name: &[u8]) -> usize {
        self.values(name).count()
    }

    /// Adds a field at the end.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let at = self.append(name);
        let value = self.append(value);
        self.push_span(at.range(), value, FieldId::from_name(name));
    }

    /// Removes all fields of that name and adds one at the end.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Gives the first field of that name a new value in its place, or adds one; later fields of that name
    /// stay.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        let first = self.named(name).next().map(|f| f.index);
        match first {
            Some(index) => self.set_value_at(index, value),
            None => self.add(name, value),
        }
    }

    /// Removes all fields of that name; how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let id = FieldId::from_name(name);
        if id != FieldId::Other {
            return self.remove_id(id);
        }
        self.remove_if(|f| f.name.eq_ignore_ascii_case(name))
    }

    /// Removes all fields of a known name; how many there were.
    pub fn remove_id(&mut self, id: FieldId) -> usize {
        if !self.has_id(id) {
            return 0;
        }
        self.present &= !id.bit();
        let mut removed = 0;
        for e in self.list.iter_mut().filter(|e| e.id == id && !e.removed) {
            e.removed = true;
            removed += 1;
        }
        removed
    }

    /// Removes the fields that `which` names; how many there were.
    pub fn remove_if(&mut self, mut which: impl FnMut(Field<'_>) -> bool) -> usize {
        let mut removed = 0;
        for i in 0..self.list.len() {
            if !self.list[i].removed && which(self.field(i)) {
                self.remove_at(i);
                removed += 1;
            }
        }
        removed
    }

    /// Removes the field at `index` (from [`Field::index`]).
    pub fn remove_at(&mut self, index: usize) {
        self.list[index].removed = true;
        let id = self.list[index].id;
        if id != FieldId::Other && !self.list.iter().any(|e| e.id == id && !e.removed) {
            self.present &= !id.bit();
        }
    }

    /// The value of the field at `index`; `None` when it was removed.
    pub fn value_at(&self, index: usize) -> Option<&[u8]> {
        self.list.get(index).filter(|e| !e.removed).map(|e| &self.buf[e.value.range()])
    }

    /// Gives the field at `index` a new value.
    pub fn set_value_at(&mut self, index: usize, value: &[u8]) {
        self.list[index].value = self.append(value);
    }

    /// Gives the field at `index` its old value with `part` (byte positions in the value) replaced.
    pub fn splice_value(&mut self, index: usize, part: Range<usize>, with: &[u8]) {
        let old = self.list[index].value.range();
        debug_assert!(part.start <= part.end && part.end <= old.len());
        let start = self.buf.len();
        self.buf.extend_from_within(old.start..old.start + part.start);
        self.buf.extend_from_slice(with);
        self.buf.extend_from_within(old.start + part.end..old.end);
        self.list[index].value = Span::new(start..self.buf.len());
    }

    /// Bytes that the fields take on the wire: names, values, `: ` and CRLF of each.
    pub fn wire_len(&self) -> usize {
        let live = self.list.iter().filter(|e| !e.removed);
        live.map(|e| usize::from(e.name_len) + e.value.len as usize + 4).sum()
    }
}

/// Picks from a double-ended iterator: 1 is the first, -1 the last, 0 is taken as -1.
fn nth_signed<T>(mut items: impl DoubleEndedIterator<Item = T>, occurrence: i64) -> Option<T> {
    let n = usize::try_from(occurrence.unsigned_abs().max(1) - 1).ok()?;
    if occurrence > 0 { items.nth(n) } else { items.nth_back(n) }
}

/// Iterator of [`Fields::values`].
#[derive(Clone, Debug)]
pub struct CommaValues<'a> {
    fields: &'a Fields,
    name: &'a [u8],
    id: FieldId,
    next: usize,
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for CommaValues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let all = loop {
            if let Some(rest) = self.rest.take() {
                break rest;
            }
            let e = self.fields.list.get(self.next)?;
            let index = self.next;
            self.next += 1;
            if e.removed || e.id != self.id || usize::from(e.name_len) != self.name.len() {
                continue;
            }
            let f = self.fields.field(index);
            if self.id != FieldId::Other || f.name.eq_ignore_ascii_case(self.name) {
                break f.value;
            }
        };
        let end = token::comma_end(all);
        self.rest = all.get(end + 1..);
        Some(token::trim_ows(&all[..end]))
    }
}
