use std::collections::BTreeMap;

/// What was emitted, and what else is known of it: plain books.
///
/// A *stream* is what one connection of one publisher emits under one topic; its events are numbered from 0 without a gap.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many events of each stream were emitted.
    emitted: BTreeMap<u32, u32>,
    /// Streams whose events have all passed the broker, as its publisher knows.
    complete: BTreeMap<u32, u32>,
    /// What those who are to converge were told, by name.
    marks: BTreeMap<String, Vec<u64>>,
}

/// Publishers from this number on are local buses.
pub(super) const BUSES: u64 = 200;

/// The stream of a publisher, its run, the connection of that and the topic.
pub(super) fn stream(publisher: u64, run: u64, connection: u64, topic: u64) -> u32 {
    ((publisher & 0xff) << 24 | (run & 0xff) << 16 | (connection & 0xfff) << 4 | topic & 0xf) as u32
}

pub(super) fn event(stream: u32, number: u32) -> u64 {
    u64::from(stream) << 32 | u64::from(number)
}

pub(super) fn stream_of(event: u64) -> u32 {
    (event >> 32) as u32
}

pub(super) fn number_of(event: u64) -> u32 {
    event as u32
}

pub(super) fn topic_of(stream: u32) -> u64 {
    u64::from(stream & 0xf)
}

pub(super) fn publisher_of(stream: u32) -> u64 {
    u64::from(stream >> 24)
}

impl Ledger {
    /// The next event of a stream; it may be seen from now on.
    pub(super) fn emit(&mut self, stream: u32) -> u64 {
        let count = self.emitted.entry(stream).or_default();
        *count += 1;
        event(stream, *count - 1)
    }

    /// The last one was refused: nobody may see it.
    pub(super) fn refused(&mut self, stream: u32) {
        if let Some(count) = self.emitted.get_mut(&stream) {
            *count -= 1;
        }
    }

    pub(super) fn was_emitted(&self, event: u64) -> bool {
        let count = self.emitted.get(&stream_of(event));
        count.is_some_and(|count| number_of(event) < *count)
    }

    /// How many of each stream there are now.
    pub(super) fn so_far(&self) -> BTreeMap<u32, u32> {
        self.emitted.clone()
    }

    /// All of this stream has passed the broker, and it ends here.
    pub(super) fn complete(&mut self, stream: u32) {
        if let Some(count) = self.emitted.get(&stream) {
            self.complete.insert(stream, *count);
        }
    }

    /// Streams that everybody who is connected must have to the end, and where that is.
    pub(super) fn completed(&self) -> &BTreeMap<u32, u32> {
        &self.complete
    }

    pub(super) fn mark(&mut self, who: &str, mark: u64) {
        self.marks.entry(who.to_owned()).or_default().push(mark);
    }

    pub(super) fn marks(&self, who: &str) -> &[u64] {
        self.marks.get(who).map_or(&[], Vec::as_slice)
    }
}
