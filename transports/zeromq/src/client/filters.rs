use bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// The prefixes that a client wants, and what SUB has to ask for to get them.
///
/// SUB takes only text. For a prefix that is none, such as half a character, it asks for the longest text that
/// begins it, and what comes too much is left out here.
#[derive(Default)]
pub(crate) struct Filters {
    wanted: HashSet<Bytes>,
    /// How many of the wanted need each text.
    asked: HashMap<String, usize>,
    /// How many of the wanted are not text.
    widened: usize,
}

impl Filters {
    /// Wants a prefix. Returns what SUB must subscribe to.
    pub(crate) fn add(&mut self, prefix: Bytes) -> Option<String> {
        let text = longest_text(&prefix).to_owned();
        if !self.wanted.insert(prefix.clone()) {
            return None;
        }
        self.widened += usize::from(text.len() < prefix.len());
        let users = self.asked.entry(text.clone()).or_default();
        *users += 1;
        (*users == 1).then_some(text)
    }

    /// Wants a prefix no longer. Returns what SUB must unsubscribe from.
    pub(crate) fn remove(&mut self, prefix: &Bytes) -> Option<String> {
        if !self.wanted.remove(prefix) {
            return None;
        }
        let text = longest_text(prefix);
        self.widened -= usize::from(text.len() < prefix.len());
        let users = self.asked.get_mut(text)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        self.asked.remove(text);
        Some(text.to_owned())
    }

    /// Whether an event that SUB gave is wanted.
    pub(crate) fn pass(&self, topic: &[u8]) -> bool {
        self.widened == 0 || self.wanted.iter().any(|prefix| topic.starts_with(prefix))
    }
}

fn longest_text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_widened_and_filtered() {
        let half = Bytes::from_static(b"caf\xC3");
        let mut filters = Filters::default();
        assert_eq!(filters.add(half.clone()).as_deref(), Some("caf"));
        assert_eq!(filters.add(half.clone()), None);
        assert!(filters.pass("café".as_bytes()) && !filters.pass(b"cafe"));
        assert_eq!(filters.add("caf".into()), None, "SUB has that already");
        assert!(filters.pass(b"cafe"));
        assert_eq!(filters.remove(&half), None, "the other still needs it");
        assert_eq!(filters.remove(&"caf".into()).as_deref(), Some("caf"));
        assert_eq!(filters.remove(&half), None);
    }

    #[test]
    fn nothing_is_filtered_without_need() {
        let mut filters = Filters::default();
        assert_eq!(filters.add(Bytes::new()).as_deref(), Some(""));
        assert!(filters.pass(b"\xFF"));
        assert_eq!(filters.remove(&Bytes::new()).as_deref(), Some(""));
    }
}
