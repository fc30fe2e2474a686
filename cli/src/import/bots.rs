//! The list of authors and co-authors that are programs, and how it matches.
//!
//! Owns the list that `import git` leaves out by default: it is data, printed for
//! the user on request and extended with patterns of the same form. Guarantees
//! that a pattern matches whole names or whole e-mails only, so that a person
//! called Renovato stays. Leaves out what becomes of a commit whose people are all
//! on the list (`history`).
//!
//! Why a list: a program holds no account and reproduces no livelihood, so a share
//! for it would be taken from the people who did the work. Whoever disagrees about
//! an entry turns the list off and gives their own.

use super::ImportError;

/// One group of patterns and why it is there.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What these have in common.
    pub what: &'static str,
    /// The patterns, in the form of [`Pattern`].
    pub patterns: &'static [&'static str],
}

/// The list, as shown to the user.
pub const LISTED: &[Group] = &[
    Group {
        what: "accounts that the forge itself marks as programs",
        patterns: &["*[bot]", "*[bot]@users.noreply.github.com", "*_bot_*@noreply.gitlab.com"],
    },
    Group {
        what: "updates of dependencies",
        patterns: &[
            "dependabot",
            "dependabot-*",
            "dependabot *",
            "renovate",
            "renovate-bot",
            "renovate bot",
            "renovatebot",
            "* renovate",
            "bot@renovateapp.com",
            "greenkeeper",
            "greenkeeperio-bot",
            "snyk-bot",
            "snyk bot",
            "depfu",
            "pyup-bot",
            "pyup.io bot",
            "scala steward",
            "scala-steward",
        ],
    },
    Group {
        what: "continuous integration",
        patterns: &[
            "github-actions",
            "github-actions *",
            "github actions",
            "github action",
            "github actions bot",
            "actions@github.com",
            "action@github.com",
            "gitlab-bot",
            "gitlab bot",
            "gitlab ci",
            "travis ci",
            "circleci",
            "jenkins",
            "pre-commit-ci",
            "pre-commit ci",
            "bors",
            "bors-*",
            "rust-bors",
            "mergify",
            "*-ci-robot",
            "*-ci-bot",
        ],
    },
    Group {
        what: "release tools",
        patterns: &[
            "release-please",
            "release-please-*",
            "release-plz",
            "release-plz-*",
            "release-drafter",
            "semantic-release",
            "semantic-release-bot",
            "goreleaserbot",
            "goreleaser bot",
            "release bot",
            "release-bot",
        ],
    },
    Group {
        what: "forges and other tools that commit for people",
        patterns: &[
            "web-flow",
            "noreply@github.com",
            "allcontributors",
            "all-contributors",
            "all contributors bot",
            "imgbot",
            "imgbotapp",
            "codecov-io",
            "deepsource-autofix",
            "pull-bot",
        ],
    },
    Group {
        what: "software that signs as a co-author",
        patterns: &[
            "copilot",
            "github copilot",
            "copilot@github.com",
            "*+copilot@users.noreply.github.com",
            "noreply@anthropic.com",
            "noreply@openai.com",
            "codex@openai.com",
            "cursoragent@cursor.com",
            "*@aider.chat",
            "devin ai",
            "amp@ampcode.com",
            "gemini-code-assist",
        ],
    },
];

/// A name or an e-mail, without regard to ASCII case; `*` stands for any text, also
/// none, and nothing else is special. With an `@` it is compared with the e-mail,
/// without one with the name.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    email: bool,
}

impl Pattern {
    /// Checks and prepares a pattern: it must hold more than stars.
    pub fn new(text: &str) -> Result<Self, ImportError> {
        let text = text.trim().to_ascii_lowercase();
        if text.bytes().all(|b| b == b'*' || b == b'@') {
            return Err(ImportError::BadPattern { pattern: text });
        }
        Ok(Self { email: text.contains('@'), text })
    }

    fn matches(&self, lower_name: &str, lower_email: &str) -> bool {
        glob(&self.text, if self.email { lower_email } else { lower_name })
    }
}

/// The patterns in force.
#[derive(Debug, Clone, Default)]
pub struct List(Vec<Pattern>);

impl List {
    /// The published list if `listed`, then the user's own patterns.
    pub fn new(listed: bool, extra: &[String]) -> Result<Self, ImportError> {
        let published = LISTED.iter().flat_map(|group| group.patterns.iter().copied());
        let all = published.filter(|_| listed).chain(extra.iter().map(String::as_str));
        all.map(Pattern::new).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the person is to be left out.
    pub fn holds(&self, name: &str, email: &str) -> bool {
        let (name, email) = (name.trim().to_ascii_lowercase(), email.trim().to_ascii_lowercase());
        self.0.iter().any(|pattern| pattern.matches(&name, &email))
    }
}

/// Whether `text` is `pattern` with every `*` replaced by some text: the pieces
/// between the stars in order, the first at the start and the last at the end.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, email: &str) -> bool {
        List::new(true, &[]).expect("the published list is well-formed").holds(name, email)
    }

    #[test]
    fn programs_are_on_the_list() {
        for (name, email) in [
            ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
            ("dependabot-preview[bot]", "x@y"),
            ("Mend Renovate", "bot@renovateapp.com"),
            ("GitHub Actions", "x@y"),
            ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"),
            ("semantic-release-bot", "x@y"),
            ("Release-Please", "x@y"),
            ("k8s-ci-robot", "x@y"),
            ("Copilot", "198982749+Copilot@users.noreply.github.com"),
            ("anything", "noreply@openai.com"),
        ] {
            assert!(listed(name, email), "{name} <{email}>");
        }
    }

    #[test]
    fn people_with_similar_names_are_not() {
        for (name, email) in [
            ("Renovato Dependa", "r@example.org"),
            ("Abbot", "abbot@example.org"),
            ("Jenkins, Mary", "mary@example.org"),
            ("Robot Fan", "fan[bot]ics@example.org"),
            ("Ana", "ana+copilot@example.org"),
            ("", "ana@example.org"),
        ] {
            assert!(!listed(name, email), "{name} <{email}>");
        }
    }

    #[test]
    fn own_patterns_extend_the_list_or_replace_it() {
        let extra = ["Build*".to_owned(), "*@ci.example.org".to_owned()];
        let both = List::new(true, &extra).unwrap();
        let own = List::new(false, &extra).unwrap();
        assert!(both.holds("dependabot", "") && !own.holds("dependabot", ""));
        assert!(own.holds("BUILD 7", "") && own.holds("Ana", "ana@CI.example.org"));
        assert!(!own.holds("Re-Build", "x@y"), "a pattern without a leading star starts the name");
    }

    #[test]
    fn a_pattern_that_would_leave_out_everybody_is_refused() {
        for pattern in ["", " ", "*", "**", "*@*", "@"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn stars_match_any_text_in_order() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*b*", "abc", true),
            ("*b*d*", "abcd", true),
            ("*d*b*", "abcd", false),
            ("aa*aa", "aaa", false),
            ("a**c", "abc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} against {text}");
        }
    }
}
