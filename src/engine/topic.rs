use std::fmt;
use std::str::FromStr;

/// Topics that belong to the broker. Clients that send under it are refused.
pub(crate) const RESERVED_PREFIX: &str = "aiodistbus.eventbus.";
/// The broker lives: at once on start, then at each interval. No data.
pub const PULSE: &str = "aiodistbus.eventbus.pulse";
/// The broker, or a local bus, closes. No data.
pub const CLOSE: &str = "aiodistbus.eventbus.close";
/// What a client says first, on the control channel.
pub(crate) const HELLO: &str = "aiodistbus.eventbus.connect";
/// What the broker answers.
pub(crate) const HANDSHAKE: &str = "aiodistbus.eventbus.handshake";
/// Where readiness probes and flush markers travel. Relayed as any event, seen by no handler.
pub(crate) const PROBE_PREFIX: &str = "distbus.probe.";
/// The pattern that matches every topic.
pub const ALL: &str = "*";

/// Whether wildcards pass this topic by.
pub(crate) fn is_internal(topic: &str) -> bool {
    topic.starts_with(RESERVED_PREFIX) || topic.starts_with(PROBE_PREFIX)
}

/// A topic or a pattern that cannot be used. The message says what to write instead.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing there.
    #[error("a topic cannot be empty; write words joined by dots, as in lab.temp")]
    Empty,
    /// Something follows a `*`.
    #[error(
        "{pattern:?}: * matches everything that follows, so nothing can come after it; write {instead:?}, or + to match one segment"
    )]
    AfterStar {
        /// What was written.
        pattern: String,
        /// What matches that and more.
        instead: String,
    },
    /// A wildcard within a segment.
    #[error(
        "{pattern:?}: {wildcard} stands for whole segments, not for a part of {segment:?}; write {instead:?}"
    )]
    InsideSegment {
        /// What was written.
        pattern: String,
        /// The segment.
        segment: String,
        /// `*` or `+`.
        wildcard: char,
        /// What may have been meant.
        instead: String,
    },
    /// An event is emitted to one topic, not to a pattern.
    #[error("{0:?} is a pattern; events are emitted to one topic, without * or + segments")]
    Pattern(String),
    /// Only brokers emit there.
    #[error(
        "{0:?} is reserved; choose a topic that begins with neither aiodistbus.eventbus. nor distbus.probe."
    )]
    Reserved(String),
}

/// What a subscription matches: topics are words joined by dots.
///
/// | pattern | matches |
/// | --- | --- |
/// | `lab.temp` | that topic alone |
/// | `*` | every topic |
/// | `lab.*` | `lab.temp` and `lab.a.b`, not `lab` |
/// | `lab.+.on` | `lab.fan.on`, neither `lab.on` nor `lab.a.b.on` |
///
/// Wildcards never match the reserved topics, as [`PULSE`] and [`CLOSE`]; their exact names do.
///
/// ```
/// use distbus::Pattern;
///
/// let pattern: Pattern = "lab.*".parse()?;
/// assert!(pattern.matches("lab.fan.on") && !pattern.matches("lab"));
/// assert_eq!(
///     "te*".parse::<Pattern>().unwrap_err().to_string(),
///     r#""te*": * stands for whole segments, not for a part of "te*"; write "te.*""#,
/// );
/// # Ok::<(), distbus::TopicError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: Box<str>,
    wild: bool,
}

/// One segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Name(&'a str),
    /// `+`
    One,
    /// `*`
    Rest,
}

impl Pattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names one topic.
    pub fn is_exact(&self) -> bool {
        !self.wild
    }

    /// Whether it matches this topic.
    pub fn matches(&self, topic: &str) -> bool {
        if !self.wild {
            return *self.text == *topic;
        }
        if is_internal(topic) {
            return false;
        }
        let mut words = topic.split('.');
        for segment in self.segments() {
            match (segment, words.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::One, Some(_)) => {}
                (Segment::Name(name), Some(word)) if name == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.text.split('.').map(|word| match word {
            "*" if self.wild => Segment::Rest,
            "+" if self.wild => Segment::One,
            name => Segment::Name(name),
        })
    }

    /// The longest text that all the topics it matches begin with: what a transport subscribes to.
    pub(crate) fn prefix(&self) -> &str {
        if !self.wild {
            return &self.text;
        }
        let first = self
            .text
            .split('.')
            .take_while(|word| !matches!(*word, "*" | "+"));
        let length: usize = first.map(|word| word.len() + 1).sum();
        &self.text[..length]
    }
}

impl FromStr for Pattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let mut wild = false;
        let mut at = 0;
        for word in text.split('.') {
            let end = at + word.len();
            match word {
                "*" if end < text.len() => {
                    let instead = text[..end].to_owned();
                    return Err(TopicError::AfterStar {
                        pattern: text.to_owned(),
                        instead,
                    });
                }
                "*" | "+" => wild = true,
                _ => {
                    if let Some(wildcard) = word.chars().find(|c| matches!(c, '*' | '+')) {
                        return Err(inside(text, at, word, wildcard));
                    }
                }
            }
            at = end + 1;
        }
        Ok(Self {
            text: text.into(),
            wild,
        })
    }
}

fn inside(text: &str, at: usize, word: &str, wildcard: char) -> TopicError {
    let head: String = word.chars().take_while(|c| *c != wildcard).collect();
    let dot = if head.is_empty() { "" } else { "." };
    let instead = format!("{}{head}{dot}{wildcard}", &text[..at]);
    TopicError::InsideSegment {
        pattern: text.to_owned(),
        segment: word.to_owned(),
        wildcard,
        instead,
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

/// Whether events of this topic are probes. Most topics are told from theirs by the first byte.
pub(crate) fn is_probe(topic: &[u8]) -> bool {
    topic.first() == PROBE_PREFIX.as_bytes().first() && topic.starts_with(PROBE_PREFIX.as_bytes())
}

/// Checks a topic that somebody wants to emit to.
pub(crate) fn check_emit(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        Err(TopicError::Empty)
    } else if is_internal(topic) {
        Err(TopicError::Reserved(topic.to_owned()))
    } else if topic.bytes().any(|b| matches!(b, b'*' | b'+'))
        && topic.split('.').any(|w| matches!(w, "*" | "+"))
    {
        Err(TopicError::Pattern(topic.to_owned()))
    } else {
        Ok(())
    }
}

/// One pattern or several, as text or parsed: what `forward`, `listen` and `link` take. `()` stands for their default, [`ALL`].
///
/// ```
/// use distbus::{ALL, IntoPatterns};
///
/// assert_eq!(ALL.into_patterns()?, ().into_patterns()?);
/// assert_eq!(["lab.*", "pump"].into_patterns()?.len(), 2);
/// # Ok::<(), distbus::TopicError>(())
/// ```
pub trait IntoPatterns {
    /// Parses them.
    ///
    /// # Errors
    /// [`TopicError`] for the first that is none.
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError>;
}

/// Nothing chosen: everything.
impl IntoPatterns for () {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        ALL.into_patterns()
    }
}

impl IntoPatterns for &str {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        Ok(vec![self.parse()?])
    }
}

impl IntoPatterns for Pattern {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        Ok(vec![self])
    }
}

impl<S: AsRef<str>, const N: usize> IntoPatterns for [S; N] {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        self.as_slice().into_patterns()
    }
}

impl<S: AsRef<str>> IntoPatterns for &[S] {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        self.iter().map(|text| text.as_ref().parse()).collect()
    }
}

impl<S: AsRef<str>> IntoPatterns for &Vec<S> {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        self.as_slice().into_patterns()
    }
}

impl IntoPatterns for Vec<Pattern> {
    fn into_patterns(self) -> Result<Vec<Pattern>, TopicError> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(topic)
    }

    #[test]
    fn what_matches() {
        for (pattern, topic, expected) in [
            ("a.b", "a.b", true),
            ("test", "testing", false),
            ("*", "a", true),
            ("*", "a.b.c", true),
            ("a.*", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", true),
            ("a.*", "ab.c", false),
            ("a.+.c", "a.b.c", true),
            ("a.+.c", "a.c", false),
            ("a.+.c", "a.b.b.c", false),
            ("+", "a", true),
            ("+", "a.b", false),
            ("+.*", "a.b.c", true),
            ("*", PULSE, false),
            ("aiodistbus.*", CLOSE, false),
            ("aiodistbus.eventbus.+", CLOSE, false),
            (PULSE, PULSE, true),
            ("*", "distbus.probe.x", false),
            ("a.*", "a.", true),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (pattern, instead) in [
            ("a.*.b", "\"a.*\""),
            ("te*", "\"te.*\""),
            ("a.*b.c", "\"a.*\""),
            ("a.b+", "\"a.b.+\""),
        ] {
            let error = pattern.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains(&format!("write {instead}")), "{error}");
        }
        assert_eq!("".parse::<Pattern>(), Err(TopicError::Empty));
    }

    #[test]
    fn prefixes_cover_what_matches() {
        for (pattern, prefix) in [
            ("a.b", "a.b"),
            ("*", ""),
            ("a.*", "a."),
            ("a.+.c", "a."),
            ("+.c", ""),
            ("a.b.*", "a.b."),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().prefix(), prefix);
        }
    }

    #[test]
    fn where_one_may_emit() {
        assert_eq!(check_emit("lab.temp"), Ok(()));
        assert_eq!(check_emit("a*b"), Ok(()));
        assert!(matches!(check_emit("lab.*"), Err(TopicError::Pattern(_))));
        assert!(matches!(check_emit(PULSE), Err(TopicError::Reserved(_))));
        assert!(matches!(
            check_emit("distbus.probe.x"),
            Err(TopicError::Reserved(_))
        ));
        assert_eq!(check_emit(""), Err(TopicError::Empty));
    }
}
