//! Who is who: from names and e-mails in commits to people.
//!
//! Owns the spellings met in a history and what each comes to: after the mailmap,
//! in clean text, with its identity ([`Person::identity`]), on the bot list or not.
//! Guarantees that each spelling is judged once, however many commits carry it.
//! Leaves out the mailmap itself ([`Mailmap`]).

use super::{Person, bots::List};
use std::{collections::HashMap, fmt::Write};

/// A name and an e-mail in the bytes of a commit or a mailmap.
pub type Spelling<'a> = (&'a [u8], &'a [u8]);

/// What maps the spellings in commits to the right ones.
pub trait Mailmap {
    /// The name and the e-mail to use in the place of this spelling's, if any.
    fn look_up(&self, spelling: Spelling<'_>) -> (Option<&[u8]>, Option<&[u8]>);
}

/// No mailmap: every spelling is right.
impl Mailmap for () {
    fn look_up(&self, _: Spelling<'_>) -> (Option<&[u8]>, Option<&[u8]>) {
        (None, None)
    }
}

/// A spelling, judged.
#[derive(Debug)]
pub struct Known {
    /// The person in clean text.
    pub person: Person,
    /// Equal for the spellings of one person.
    pub identity: u32,
    /// Whether the list leaves the spelling out.
    pub listed: bool,
    /// Whether bytes had to be escaped for the clean text.
    pub escaped: bool,
}

/// All spellings met, by number.
#[derive(Debug, Default)]
pub struct Register {
    known: Vec<Known>,
    by_spelling: HashMap<Vec<u8>, u32>,
    by_identity: HashMap<String, u32>,
    key: Vec<u8>,
}

impl Register {
    /// The number of a spelling, and whether this is its first time.
    pub fn number(
        &mut self,
        spelling: Spelling<'_>,
        mailmap: &dyn Mailmap,
        list: &List,
    ) -> (u32, bool) {
        // Neither a name nor an e-mail holds a line feed, so the key is unambiguous.
        self.key.clear();
        self.key.extend_from_slice(spelling.0);
        self.key.push(b'\n');
        self.key.extend_from_slice(spelling.1);
        if let Some(&number) = self.by_spelling.get(self.key.as_slice()) {
            return (number, false);
        }
        let (name, email) = mailmap.look_up(spelling);
        let (name, name_escaped) = clean(name.unwrap_or(spelling.0));
        let (email, email_escaped) = clean(email.unwrap_or(spelling.1));
        let person = Person { name, email };
        let identities = place(self.by_identity.len());
        let known = Known {
            identity: *self.by_identity.entry(person.identity()).or_insert(identities),
            listed: list.holds(&person.name, &person.email),
            escaped: name_escaped || email_escaped,
            person,
        };
        let number = place(self.known.len());
        self.known.push(known);
        self.by_spelling.insert(self.key.clone(), number);
        (number, true)
    }

    /// The spelling with this number.
    pub fn get(&self, number: u32) -> &Known {
        &self.known[number as usize]
    }

    /// How many identities there are.
    pub fn identities(&self) -> usize {
        self.by_identity.len()
    }
}

fn place(len: usize) -> u32 {
    u32::try_from(len).expect("a history has fewer than 2^32 spellings: each takes bytes in memory")
}

/// The text without space around it, with bytes that are not UTF-8 and control
/// characters written `\xNN`, and whether there were any. Escapes, not replacement
/// characters: two different e-mails must not become one, and a terminal must not
/// obey a name.
pub fn clean(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => (text.trim().to_owned(), false),
        _ => (escape(bytes).trim().to_owned(), true),
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let put = |out: &mut String, byte: u8| {
        write!(out, "\\x{byte:02x}").expect("writing to a string cannot fail");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| put(&mut out, byte));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&byte| put(&mut out, byte));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(register: &mut Register, name: &str, email: &str) -> u32 {
        let spelling = (name.as_bytes(), email.as_bytes());
        let (number, _) = register.number(spelling, &(), &List::default());
        register.get(number).identity
    }

    #[test]
    fn one_email_is_one_person_whatever_the_name_and_the_case() {
        let mut register = Register::default();
        let ana = identity_of(&mut register, "Ana", "ana@example.org");
        assert_eq!(identity_of(&mut register, "A. Lima", "ANA@Example.org"), ana);
        assert_ne!(identity_of(&mut register, "Ana", "ana@example.com"), ana);
        assert_eq!(identity_of(&mut register, "", "Ä@x"), identity_of(&mut register, "", "ä@x"));
    }

    #[test]
    fn without_an_email_the_name_decides() {
        let mut register = Register::default();
        let ana = identity_of(&mut register, "Ana", "");
        assert_eq!(identity_of(&mut register, "Ana", ""), ana);
        assert_ne!(identity_of(&mut register, "Bo", ""), ana);
    }

    #[test]
    fn a_spelling_is_judged_once() {
        struct Once(std::cell::Cell<bool>);
        impl Mailmap for Once {
            fn look_up(&self, _: Spelling<'_>) -> (Option<&[u8]>, Option<&[u8]>) {
                assert!(!self.0.replace(true), "asked before");
                (Some(b"B"), None)
            }
        }
        let mut register = Register::default();
        let (mailmap, list) = (Once(false.into()), List::default());
        assert_eq!(register.number((b"A", b"a@x"), &mailmap, &list), (0, true));
        assert_eq!(register.number((b"A", b"a@x"), &mailmap, &list), (0, false));
        let person = &register.get(0).person;
        assert_eq!((person.name.as_str(), person.email.as_str()), ("B", "a@x"));
    }

    #[test]
    fn bytes_that_are_no_text_stay_apart_and_harmless() {
        assert_eq!(clean("Jörg".as_bytes()), ("Jörg".into(), false));
        assert_eq!(clean(b"J\xf6rg"), ("J\\xf6rg".into(), true));
        assert_eq!(clean(b"J\xf7rg").0, "J\\xf7rg");
        assert_eq!(clean(b"\x1b[31mred\0"), ("\\x1b[31mred\\x00".into(), true));
        assert_eq!(clean("\u{a0}Ana ".as_bytes()).0, "Ana");
    }
}
