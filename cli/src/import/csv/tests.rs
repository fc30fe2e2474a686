//! What a user of `import csv` meets.

use super::*;

const TODAY: u32 = 20_500; // 2026-02-16

fn report_with(mapping: &str, text: &str) -> CsvReport {
    read_csv(text.as_bytes(), &Mapping::parse(mapping).unwrap(), TODAY).unwrap()
}

fn report(text: &str) -> CsvReport {
    report_with("", text)
}

/// The rows of a file that must be good.
fn rows(text: &str) -> Vec<CsvRow> {
    let report = report(text);
    assert_eq!(report.bad, [], "{text}");
    report.rows
}

/// The reasons why rows are bad, as `line: reason`.
fn reasons(text: &str) -> Vec<String> {
    report(text).bad.iter().map(ToString::to_string).collect()
}

fn person(name: &str, email: &str) -> Who {
    Who::Person(Person { name: name.into(), email: email.into() })
}

#[test]
fn a_row_with_everything() {
    let text = "date,person,kind,quantity,stream,reference,note\n\
        2026-01-31,Ana <Ana@example.org>,review,1.25,care,ticket:4711,\"Two, or \"\"more\"\"\nlines\"\n";
    assert_eq!(
        rows(text),
        [CsvRow {
            line: 2,
            day: 20_484,
            person: person("Ana", "ana@example.org"),
            kind: "review".into(),
            quantity: 1_250,
            stream: Stream::Care,
            reference: "ticket:4711".into(),
            note: "Two, or \"more\"\nlines".into(),
        }]
    );
}

#[test]
fn a_row_with_the_least() {
    let found = &rows("Quantity,DATE,Person\n2,2026-01-31,ana\n")[0];
    assert_eq!((found.kind.as_str(), found.stream), ("hours", Stream::Livelihood));
    assert_eq!((found.quantity, &found.person), (2_000, &Who::Handle("ana".into())));
    assert!(found.reference.len() == 36 && found.reference.starts_with("csv:"));
}

#[test]
fn dialects_are_read_alike() {
    let plain = rows("date,person,quantity\n2026-01-01,ana,1.5\n2026-01-02,bo,2\n");
    for text in [
        "\u{feff}date,person,quantity\r\n2026-01-01,ana,1.5\r\n2026-01-02,bo,2",
        "date;person;quantity\n2026-01-01;ana;1,5\n2026-01-02;bo;2,0\n",
        "date\tperson\tquantity\n2026-01-01\tana\t1:30\n2026-01-02\tbo\t2:00\n",
        "\"date\",\"person\",quantity\n2026-01-01, ana ,1.500\n2026-01-02,\"bo\",02\n",
    ] {
        assert_eq!(rows(text), plain, "{text:?}");
    }
    let late = rows("\n\r\ndate;person;quantity\n2026-01-01;ana;1,5\n");
    assert_eq!((late[0].line, late[0].quantity), (4, 1_500));
    let mapping = Mapping { delimiter: Some(b'|'), ..Mapping::default() };
    let piped = "date|person|quantity\n2026-01-01|ana|1.5\n2026-01-02|bo|2\n";
    assert_eq!(read_csv(piped.as_bytes(), &mapping, TODAY).unwrap().rows, plain);
}

#[test]
fn quantities_are_exact_thousandths() {
    for (text, expected) in [
        ("1", 1_000),
        ("0.001", 1),
        ("1.5", 1_500),
        ("1.05", 1_050),
        ("0:20", 333),
        ("0:40", 667),
        ("12:30", 12_500),
        ("1000000000", QUANTITY_AT_MOST),
    ] {
        assert_eq!(fields::quantity(text), Ok(expected), "{text}");
    }
}

#[test]
fn quantities_that_are_none_are_refused_with_a_reason() {
    for (text, reason) in [
        ("", "no quantity"),
        ("0", "zero"),
        ("0.000", "zero"),
        ("-1", "negative"),
        ("+1", "no quantity"),
        ("1.2345", "no quantity"),
        ("1.", "no quantity"),
        (".5", "no quantity"),
        ("1.5.5", "no quantity"),
        ("1e3", "no quantity"),
        ("1 000", "no quantity"),
        ("1:60", "no quantity"),
        ("1:5", "no quantity"),
        ("-1:30", "no quantity"),
        ("1,000", "1.000 or 1000"),
        ("1000000000.001", "more than 1000000000"),
        ("18446744073709551616", "no quantity"),
        ("18446744073709551615", "no quantity"),
        ("18446744073709551615:59", "no quantity"),
    ] {
        let found = fields::quantity(text).expect_err(text);
        assert!(found.contains(reason), "{text}: {found}");
    }
}

#[test]
fn every_bad_row_is_listed_with_its_line_and_all_its_reasons() {
    let text = "date,person,quantity,stream,reference,kind\n\
        2026-02-16,ana,1,,,\n\
        2026-02-17,ana,1,,,\n\
        2026-02-30,ana,1,,,\n\
        16.02.2026,,0,joy,no scheme,Hours!\n\
        1969-12-31,ana,1,,,\n\
        \n\
        2026-01-01,ana,1\n\
        2026-01-01,Ana <ana,1,love,ticket:a b,care\n";
    let found = reasons(text);
    let expected: [(&str, &[&str]); 6] = [
        ("line 3", &["in the future"]),
        ("line 4", &["YYYY-MM-DD"]),
        ("line 5", &["date:", "person: empty", "quantity: zero", "stream:", "reference:", "kind:"]),
        ("line 6", &["before 1970"]),
        ("line 8", &["3 fields where the header has 6"]),
        ("line 9", &["Name <email>", "reference:"]),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, (line, reasons)) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("{line}:")), "{found}");
        assert!(reasons.iter().all(|reason| found.contains(reason)), "{found}");
    }
    assert_eq!(report(text).rows.len(), 1);
}

#[test]
fn lines_are_counted_through_quoted_newlines_and_blank_lines() {
    let text = "date,person,quantity,note\n2026-01-01,ana,1,\"a\nb\nc\"\n\n\r\n2026-01-01,ana,x,\n";
    assert!(reasons(text)[0].starts_with("line 7:"), "{:?}", reasons(text));
}

#[test]
fn a_quote_left_open_does_not_swallow_rows_in_silence() {
    let text = "date,person,quantity,note\n2026-01-01,ana,1,\"oops\n2026-01-02,bo,1,\n";
    let found = report(text);
    assert!(found.rows.is_empty());
    assert!(found.bad[0].reason.contains("quote"), "{:?}", found.bad);
    assert_eq!(found.bad[0].line, 2);
}

#[test]
fn bytes_that_are_not_utf8_are_a_bad_row() {
    let text = b"date,person,quantity\n2026-01-01,J\xf6rg,1\n2026-01-01,bo,1\n";
    let found = read_csv(&text[..], &Mapping::default(), TODAY).unwrap();
    assert_eq!((found.rows.len(), found.bad.len(), found.bad[0].line), (1, 1, 2));
    assert!(found.bad[0].reason.contains("person is not UTF-8"));
}

#[test]
fn headers_are_mapped_and_unknown_ones_said() {
    let text = "Datum;Wer;Zeit;Projekt\n2026-01-01;ana;1:00;x\n";
    let found = report_with("date=Datum, person=wer,quantity=ZEIT,ignore=Projekt", text);
    assert_eq!((found.rows.len(), found.bad), (1, vec![]));
    assert_eq!(report_with("date=Datum,person=Wer,quantity=Zeit,ignore=*", text).bad, []);
    let unknown = report_with("date=Datum,person=Wer,quantity=Zeit", text);
    assert_eq!((unknown.rows.len(), unknown.bad.len()), (1, 1));
    assert!(unknown.bad[0].reason.contains("ignore=projekt"));
    let missing = report_with("date=Datum,person=Wer,ignore=*", text);
    assert!(missing.rows.is_empty() && missing.bad[0].reason.contains("--map quantity="));
    let gone = report_with("date=Datum,person=Wer,quantity=Zeit,kind=Art,ignore=*", text);
    assert!(gone.rows.is_empty(), "a mapped column that is not there is a mistake");
    assert!(reasons("date,person,quantity,date\n")[0].contains("2 times"));
    assert!(reasons("")[0].contains("empty"));
}

#[test]
fn mappings_that_cannot_be_meant_are_refused() {
    for text in ["date", "day=Datum", "date=", "date=A,date=B"] {
        assert!(Mapping::parse(text).is_err(), "{text}");
    }
}

#[test]
fn made_references_are_stable_and_tell_equal_rows_apart() {
    let references =
        |text: &str| -> Vec<String> { rows(text).into_iter().map(|row| row.reference).collect() };
    let header = "date,person,quantity,note\n";
    let one = "2026-01-01,ana,1.5,x\n";
    let once = references(&format!("{header}{one}"));
    let twice = references(&format!("{header}{one}2026-01-02,bo,1,\n{one}"));
    assert_eq!(once[0], twice[0]);
    assert_ne!(twice[0], twice[2], "the same work twice is two works");
    assert_eq!(once, references("note;person;date;quantity\nx;ana;2026-01-01;1:30\n"));
    // Fixed for ever: another value would import everybody's files again.
    assert_eq!(once[0], "csv:5a9292e58e464cefd954017807d83453");
}

#[test]
fn a_reference_counts_once_for_a_person() {
    let text = "date,person,quantity,reference\n2026-01-01,ana,1,ticket:1\n\
        2026-01-01,bo,1,ticket:1\n2026-01-02,ana,2,ticket:1\n";
    let found = report(text);
    assert_eq!((found.rows.len(), found.bad.len(), found.bad[0].line), (2, 1, 4));
    assert!(found.bad[0].reason.contains("line 2"));
}

#[test]
fn people_are_handles_emails_or_names() {
    for (text, expected) in [
        ("ana-2", Who::Handle("ana-2".into())),
        ("ANA@example.org", person("", "ana@example.org")),
        ("Ana Lima", person("Ana Lima", "")),
        ("Ana Lima <ana@Example.org>", person("Ana Lima", "ana@example.org")),
    ] {
        assert_eq!(fields::who(text), Ok(expected), "{text}");
    }
    for text in ["", "Ana <ana>", "Ana <>", "<a@b> Ana", "An\u{1b}a"] {
        assert!(fields::who(text).is_err(), "{text:?}");
    }
}
