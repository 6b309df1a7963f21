//! The statistics of frontends, backends and servers: the fields of the manual's section 9.1, read from live
//! state, in every form they are shown in.

mod fields;
mod row;
mod schema;

pub use fields::{FIELDS, Field, FieldId};
pub use row::{Filter, Object, Row, Value, rows};
pub use schema::schema;

use std::fmt::Write;

/// The header line of the CSV form, with its line end.
pub fn csv_header() -> String {
    let mut out = "# ".to_owned();
    for field in FIELDS {
        out.push_str(field.name);
        out.push(',');
    }
    out.push('\n');
    out
}

/// One row in CSV, with its line end.
pub fn csv(row: &Row, out: &mut String) {
    for value in row.values() {
        match value {
            Some(Value::Text(text)) => csv_text(text, out),
            // Writing to a String cannot fail.
            Some(value) => drop(write!(out, "{value}")),
            None => {}
        }
        out.push(',');
    }
    out.push('\n');
}

/// Text is quoted when it holds a separator (RFC 4180).
fn csv_text(text: &str, out: &mut String) {
    if text.contains([',', '"', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// The tags of a field in rows of this kind: a backend's counts of servers are measured, a server's are written.
fn tags(row: &Row, field: &Field) -> &'static str {
    match (row.object, field.name) {
        (Object::Backend, "act" | "bck" | "rate" | "rate_max") => "MGP",
        (Object::Server, "tracked") => "CNS",
        _ => field.tags,
    }
}

/// One row in the typed form (`show stat typed [desc]`): a line for each field that has a value.
pub fn typed(row: &Row, with_docs: bool, out: &mut String) {
    for (index, (field, value)) in FIELDS.iter().zip(row.values()).enumerate() {
        let Some(value) = value else { continue };
        let _ = write!(
            out,
            "{}.{}.{}.{index}.{}.1:{}:{}:{value}",
            row.object.letter(),
            row.iid,
            row.sid,
            field.name,
            tags(row, field),
            value.kind()
        );
        if with_docs {
            let _ = write!(out, ":\"{}\"", field.doc);
        }
        out.push('\n');
    }
}

/// One row in JSON (`show stat json`): an array of fields.
pub fn json(row: &Row, out: &mut String) {
    out.push('[');
    let mut first = true;
    for (index, (field, value)) in FIELDS.iter().zip(row.values()).enumerate() {
        let Some(value) = value else { continue };
        if !std::mem::replace(&mut first, false) {
            out.push(',');
        }
        let _ = write!(
            out,
            "{{\"objType\":\"{}\",\"proxyId\":{},\"id\":{},\"field\":{{\"pos\":{index},\"name\":\"{}\"}},\"processNum\":1,",
            row.object.name(),
            row.iid,
            row.sid,
            field.name
        );
        json_value(tags(row, field), value, out);
        out.push('}');
    }
    out.push(']');
}

/// `"tags":{...},"value":{...}`: also the form of `show info json`.
pub fn json_value(tags: &str, value: &Value, out: &mut String) {
    let mut letters = tags.chars();
    let mut word = |table: &[(char, &'static str)]| {
        let letter = letters.next().unwrap_or(' ');
        table.iter().find(|(l, _)| *l == letter).map_or("Unknown", |(_, w)| *w)
    };
    let origin = word(&[('M', "Metric"), ('S', "Status"), ('K', "Key"), ('C', "Config"), ('P', "Product")]);
    let nature = word(&[
        ('A', "Age"),
        ('a', "Avg"),
        ('C', "Counter"),
        ('D', "Duration"),
        ('G', "Gauge"),
        ('L', "Limit"),
        ('M', "Max"),
        ('m', "Min"),
        ('N', "Name"),
        ('O', "Output"),
        ('R', "Rate"),
        ('T', "Time"),
        ('P', "Output"),
    ]);
    let scope = word(&[('C', "Cluster"), ('P', "Process"), ('S', "Service"), ('s', "System")]);
    let _ = write!(
        out,
        "\"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\"value\":{{\"type\":\"{}\",\"value\":",
        value.kind()
    );
    match value {
        Value::Text(text) => json_text(text, out),
        value => drop(write!(out, "{value}")),
    }
    out.push('}');
}

/// A JSON string.
pub fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_the_manuals() {
        let header = csv_header();
        assert!(
            header
                .starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,")
        );
        let names: Vec<&str> = header[2..].split(',').collect();
        // Positions that tools rely on (manual, 9.1).
        for (pos, name) in [
            (17, "status"),
            (18, "weight"),
            (32, "type"),
            (36, "check_status"),
            (55, "lastsess"),
            (73, "addr"),
        ] {
            assert_eq!(names[pos], name);
        }
        assert_eq!(names[names.len() - 2], "agg_check_status");
    }

    #[test]
    fn quoting() {
        let mut out = String::new();
        csv_text("a,\"b\"", &mut out);
        assert_eq!(out, "\"a,\"\"b\"\"\"");
        out.clear();
        json_text("a\"\\\n", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\u000a\"");
    }
}
