//! `Co-authored-by` trailers: where they stand in a message and what they say.
//!
//! Owns the rule for what is a trailer. Guarantees that every such line in the
//! final paragraphs comes out, as a person or as malformed; none is dropped
//! silently. Leaves out who the person is (`people`) and their share (`history`).
//!
//! The rule, which is how git and the forges write and read them: trailers stand in
//! the final paragraphs of the message, never in its first line. A paragraph is
//! final if only final ones follow it and it begins with a trailer
//! (`Word-with-dashes: text`) or a line of dashes; for the very last one, a co-author
//! in any of its lines is enough. The key is compared without regard to case; a line
//! that begins with a space or a tab continues the one before it. The value is
//! `Name <email>` and nothing else. A mention in the prose above is a quotation, and
//! nobody is paid for it.

const KEY: &[u8] = b"co-authored-by";

/// A co-author as named, or the text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coauthor {
    /// `Name <email>`, both present, without space around them.
    Named {
        /// The bytes before the bracket.
        name: Vec<u8>,
        /// The bytes between the brackets.
        email: Vec<u8>,
    },
    /// The value after the colon, unfolded.
    Malformed(Vec<u8>),
}

/// Every co-author trailer of the message, in order, repetitions included.
pub fn coauthors(message: &[u8]) -> Vec<Coauthor> {
    // Nine messages in ten have none; one pass over them for the key settles it.
    if !mentions_key(message) {
        return Vec::new();
    }
    let lines: Vec<&[u8]> = message.split(|&b| b == b'\n').map(without_return).collect();
    let mut found = Vec::new();
    let mut at = final_paragraphs(&lines);
    while at < lines.len() {
        let mut value = co_authored_by(lines[at]).map(<[u8]>::to_vec);
        at += 1;
        while at < lines.len() && continues(lines[at]) {
            if let Some(value) = &mut value {
                value.push(b' ');
                value.extend_from_slice(lines[at].trim_ascii());
            }
            at += 1;
        }
        found.extend(value.as_deref().map(coauthor));
    }
    found
}

fn mentions_key(message: &[u8]) -> bool {
    // Every key begins a line, and few lines begin with its first letter.
    message.split(|&b| b == b'\n').any(|line| co_authored_by(line).is_some())
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn continues(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t')) && !is_blank(line)
}

/// The value, if the line is a co-author trailer. As in git, space may stand before
/// the colon.
fn co_authored_by(line: &[u8]) -> Option<&[u8]> {
    let (key, rest) = line.split_at_checked(KEY.len())?;
    let value = rest.trim_ascii_start().strip_prefix(b":")?;
    key.eq_ignore_ascii_case(KEY).then(|| value.trim_ascii())
}

/// The line where the final paragraphs begin; past the end if there are none.
fn final_paragraphs(lines: &[&[u8]]) -> usize {
    let mut begin = lines.len();
    let mut end = lines.len();
    loop {
        while end > 0 && is_blank(lines[end - 1]) {
            end -= 1;
        }
        if end == 0 {
            break;
        }
        let mut start = end;
        while start > 0 && !is_blank(lines[start - 1]) {
            start -= 1;
        }
        let last = begin == lines.len();
        let named = last && lines[start..end].iter().any(|line| co_authored_by(line).is_some());
        if !named && !begins_trailers(lines[start]) {
            break;
        }
        begin = start;
        end = start;
    }
    // The first line is the subject, however it looks.
    let subject = lines.iter().position(|line| !is_blank(line)).map_or(0, |first| first + 1);
    begin.max(subject)
}

fn begins_trailers(line: &[u8]) -> bool {
    if line.len() >= 3 && line.iter().all(|&b| b == b'-') {
        return true;
    }
    let word = line.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    word > 0 && line[word..].trim_ascii_start().starts_with(b":")
}

fn coauthor(value: &[u8]) -> Coauthor {
    let named = || {
        let open = value.iter().position(|&b| b == b'<')?;
        let email = value[open + 1..].strip_suffix(b">")?.trim_ascii();
        let name = value[..open].trim_ascii();
        let clean = |b: &u8| !b.is_ascii_whitespace() && !matches!(b, b'<' | b'>');
        let fits = !name.is_empty() && !email.is_empty() && email.iter().all(clean);
        fits.then(|| Coauthor::Named { name: name.to_vec(), email: email.to_vec() })
    };
    named().unwrap_or_else(|| Coauthor::Malformed(value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The co-authors as `name|email`, malformed ones as `!value`.
    fn read(message: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        coauthors(message.as_bytes())
            .iter()
            .map(|found| match found {
                Coauthor::Named { name, email } => format!("{}|{}", text(name), text(email)),
                Coauthor::Malformed(value) => format!("!{}", text(value)),
            })
            .collect()
    }

    #[test]
    fn any_case_repeated_and_folded() {
        assert_eq!(
            read("S\n\nBody\n\nCo-authored-by: Ana B <ana@x>\nCO-AUTHORED-BY : Bo <bo@x>\n"),
            ["Ana B|ana@x", "Bo|bo@x"]
        );
        assert_eq!(read("S\n\nco-Authored-By: Ana\n\tMaria\n  <ana@x>\nX: y"), ["Ana Maria|ana@x"]);
        assert_eq!(
            read("S\r\n\r\nCo-authored-by: A <a@x>\r\nCo-authored-by: A <a@x>\r\n"),
            ["A|a@x", "A|a@x"]
        );
    }

    #[test]
    fn in_the_final_paragraphs_only() {
        let line = "Co-authored-by: A <a@x>";
        assert_eq!(read(&format!("S\n\n{line}\n\nSigned-off-by: B <b@x>\n\n\n")), ["A|a@x"]);
        assert_eq!(read(&format!("S\n\n* one\n\n---------\n\n{line}")), ["A|a@x"]);
        assert_eq!(read(&format!("S\n\nbody\n{line}\n")), ["A|a@x"], "no blank line before it");
        assert_eq!(read(&format!("S\n{line}\n")), ["A|a@x"], "nor after the subject");
        assert_eq!(read(&format!("S\n\n{line}\n\nMore prose follows.\n")), [] as [&str; 0]);
        assert_eq!(read(&format!("S\n\n> {line}\n")), [] as [&str; 0]);
        assert_eq!(read(line), [] as [&str; 0], "the subject is no trailer");
        assert_eq!(read(&format!("fix: S\n\n{line}")), ["A|a@x"]);
    }

    #[test]
    fn a_value_that_is_not_a_name_and_an_email_is_malformed() {
        for value in [
            "Ana",
            "ana@x",
            "@ana",
            "<ana@x>",
            "Ana <>",
            "Ana <ana@x",
            "Ana <ana@x> and Bo",
            "Ana <ana@x>, Bo <bo@x>",
            "Ana <ana at x>",
            "",
        ] {
            assert_eq!(read(&format!("S\n\nCo-authored-by: {value}\n")), [format!("!{value}")]);
        }
    }

    #[test]
    fn other_trailers_and_their_folds_are_not_coauthors() {
        let message = "S\n\nReviewed-by: R <r@x>\n Co-authored-by: F <f@x>\nCo-authored: N <n@x>\n";
        assert_eq!(read(message), [] as [&str; 0]);
    }
}
