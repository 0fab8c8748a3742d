use crate::Injected;
use bytes::Bytes;
use distbus_transport::{Frame, Reason};
use rapidhash::v3::rapidhash_v3;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When: the time since the network was made.
    pub at: Duration,
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
}

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the scenario itself.
    Scenario,
    /// At a node.
    Node(Arc<str>),
    /// On the way from one node to another.
    Link(Arc<str>, Arc<str>),
}

/// What can be seen of a frame from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its topic.
    pub topic: Bytes,
    /// The length of its body.
    pub bytes: usize,
    /// The checksum that travels with it.
    pub checksum: u32,
}

/// What happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A node was started; the how manyth time.
    Started(u64),
    /// A node's program ended; how.
    Finished(String),
    /// A node crashed.
    Crashed,
    /// A broker listens.
    Bound(String),
    /// A client got through: which connection between the two this is.
    Connected(u64),
    /// A client was turned away; why.
    Refused(String),
    /// A connection ended; why.
    Disconnected(&'static str),
    /// A frame was sent.
    Sent(Sight),
    /// A frame arrived.
    Arrived(Sight),
    /// Something was done to a frame.
    Injected(Injected, Sight),
    /// A control message of so many bytes arrived.
    Control(usize),
    /// A subscription arrived at the broker.
    Subscribed(Bytes),
    /// The end of a subscription arrived at the broker.
    Unsubscribed(Bytes),
    /// A fault began or ended.
    Fault(String),
    /// What a program or scenario noted.
    Note(String),
}

/// All that happened, as a running hash and the last records.
///
/// The hash covers every record, with its time and place: two runs with the same hash did the same things in the same order at the same times.
#[derive(Debug)]
pub(crate) struct Trace {
    inner: Mutex<Inner>,
    /// Something has happened.
    pub(crate) activity: Notify,
}

#[derive(Debug)]
struct Inner {
    hash: u64,
    count: u64,
    checkpoints: Checkpoints,
    tail: VecDeque<Record>,
    keep: usize,
    scratch: Vec<u8>,
    sealed: bool,
}

impl Trace {
    /// Keeps so many of the last records; with none it does nothing at all.
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                hash: 0,
                count: 0,
                checkpoints: Checkpoints::default(),
                tail: VecDeque::new(),
                keep,
                scratch: Vec::new(),
                sealed: keep == 0,
            }),
            activity: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, at: Duration, place: &Place, what: What) {
        let mut inner = self.lock();
        if inner.sealed {
            return;
        }
        let mut scratch = std::mem::take(&mut inner.scratch);
        scratch.clear();
        scratch.extend(inner.hash.to_le_bytes());
        scratch.extend((at.as_micros() as u64).to_le_bytes());
        place.write(&mut scratch);
        what.write(&mut scratch);
        inner.hash = rapidhash_v3(&scratch);
        inner.scratch = scratch;
        inner.count += 1;
        let (count, hash) = (inner.count, inner.hash);
        inner.checkpoints.pass(count, at, hash);
        if inner.tail.len() >= inner.keep {
            inner.tail.pop_front();
        }
        let place = place.clone();
        inner.tail.push_back(Record { at, place, what });
        drop(inner);
        self.activity.notify_one();
    }

    /// Nothing is recorded from now on: what falls apart after the end is no part of a run.
    pub(crate) fn seal(&self) {
        self.lock().sealed = true;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.lock().hash
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    pub(crate) fn checkpoints(&self) -> Checkpoints {
        self.lock().checkpoints.clone()
    }

    pub(crate) fn tail(&self) -> Vec<Record> {
        self.lock().tail.iter().cloned().collect()
    }
}

/// The hash as it was now and then: where two runs parted, though what happened there is no longer kept.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    /// One after so many records.
    every: u64,
    hashes: Vec<(Duration, u64)>,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            every: 1,
            hashes: Vec::new(),
        }
    }
}

impl Checkpoints {
    /// When there are as many, every second one is forgotten.
    const MOST: usize = 4096;

    fn pass(&mut self, count: u64, at: Duration, hash: u64) {
        if !count.is_multiple_of(self.every) {
            return;
        }
        self.hashes.push((at, hash));
        if self.hashes.len() >= Self::MOST {
            let mut number = 0;
            self.hashes.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.every *= 2;
        }
    }

    /// The hash after so many records; none where there is no checkpoint.
    fn after(&self, count: u64) -> Option<(Duration, u64)> {
        let number = count / self.every;
        self.hashes
            .get(usize::try_from(number).ok()?.checked_sub(1)?)
            .copied()
    }

    /// Up to how many records two runs were surely the same, and until when that was.
    pub(crate) fn same(&self, other: &Self) -> (u64, Duration) {
        let every = self.every.max(other.every);
        let mut same = (0, Duration::ZERO);
        for count in (1..).map(|number| number * every) {
            match (self.after(count), other.after(count)) {
                (Some((at, one)), Some((_, two))) if one == two => same = (count, at),
                _ => break,
            }
        }
        same
    }

    /// By how many records more they may have differed.
    pub(crate) fn step(&self, other: &Self) -> u64 {
        self.every.max(other.every)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

impl Place {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Scenario => out.push(0),
            Self::Node(name) => {
                out.push(1);
                put(out, name.as_bytes());
            }
            Self::Link(from, to) => {
                out.push(2);
                put(out, from.as_bytes());
                put(out, to.as_bytes());
            }
        }
    }
}

impl Sight {
    pub(crate) fn of(frame: &Frame) -> Self {
        Self {
            topic: frame.topic().clone(),
            bytes: frame.body().len(),
            checksum: frame.checksum(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, &self.topic);
        out.extend((self.bytes as u64).to_le_bytes());
        out.extend(self.checksum.to_le_bytes());
    }
}

impl What {
    fn write(&self, out: &mut Vec<u8>) {
        let (tag, number, bytes): (u8, u64, &[u8]) = match self {
            Self::Started(time) => (0, *time, b""),
            Self::Finished(how) => (1, 0, how.as_bytes()),
            Self::Crashed => (2, 0, b""),
            Self::Bound(endpoint) => (3, 0, endpoint.as_bytes()),
            Self::Connected(connection) => (4, *connection, b""),
            Self::Refused(why) => (5, 0, why.as_bytes()),
            Self::Disconnected(why) => (6, 0, why.as_bytes()),
            Self::Sent(_) => (7, 0, b""),
            Self::Arrived(_) => (8, 0, b""),
            Self::Injected(what, _) => (9, what.index() as u64, b""),
            Self::Control(bytes) => (10, *bytes as u64, b""),
            Self::Subscribed(prefix) => (11, 0, prefix),
            Self::Unsubscribed(prefix) => (12, 0, prefix),
            Self::Fault(text) => (13, 0, text.as_bytes()),
            Self::Note(text) => (14, 0, text.as_bytes()),
        };
        out.push(tag);
        out.extend(number.to_le_bytes());
        put(out, bytes);
        if let Self::Sent(sight) | Self::Arrived(sight) | Self::Injected(_, sight) = self {
            sight.write(out);
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        write!(f, "{:>12.6}s  {place:<24} {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario => f.write_str("scenario"),
            Self::Node(name) => f.write_str(name),
            Self::Link(from, to) => write!(f, "{from} -> {to}"),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = String::from_utf8_lossy(&self.topic);
        write!(
            f,
            "{}, {} bytes, {:08x}",
            topic.escape_debug(),
            self.bytes,
            self.checksum
        )
    }
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).escape_debug().to_string();
        match self {
            Self::Started(1) => f.write_str("starts"),
            Self::Started(time) => write!(f, "starts, run {time}"),
            Self::Finished(how) => write!(f, "ends: {how}"),
            Self::Crashed => f.write_str("crashes"),
            Self::Bound(endpoint) => write!(f, "listens at {endpoint}"),
            Self::Connected(connection) => write!(f, "connected, connection {connection}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Disconnected(why) => write!(f, "disconnected: {why}"),
            Self::Sent(frame) => write!(f, "sent {frame}"),
            Self::Arrived(frame) => write!(f, "arrived {frame}"),
            Self::Injected(what, frame) => write!(f, "{} {frame}", what.name()),
            Self::Control(bytes) => write!(f, "control message of {bytes} bytes"),
            Self::Subscribed(prefix) => write!(f, "subscribed to \"{}\"", text(prefix)),
            Self::Unsubscribed(prefix) => write!(f, "unsubscribed from \"{}\"", text(prefix)),
            Self::Fault(what) | Self::Note(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u64) -> Vec<(Duration, Place, What)> {
        (0..count)
            .map(|n| {
                let place = Place::Link("a".into(), "b".into());
                let frame = Frame::sealed("lab.temp", n.to_string());
                (Duration::from_millis(n), place, What::Sent(Sight::of(&frame)))
            })
            .collect()
    }

    fn trace(records: &[(Duration, Place, What)], keep: usize) -> Trace {
        let trace = Trace::new(keep);
        for (at, place, what) in records {
            trace.record(*at, place, what.clone());
        }
        trace
    }

    #[test]
    fn the_hash_covers_time_place_kind_content_and_order() {
        let base = records(10);
        let hash = |records: &[_]| trace(records, 4).hash();
        assert_eq!(hash(&base), hash(&base));
        let mut others = vec![base.clone(); 6];
        others[0][3].0 += Duration::from_micros(1);
        others[1][3].1 = Place::Link("b".into(), "a".into());
        others[2][3].2 = What::Note("x".into());
        others[3].swap(3, 4);
        others[4].pop();
        if let What::Sent(sight) = others[5][3].2.clone() {
            others[5][3].2 = What::Arrived(sight);
        }
        let mut hashes: Vec<_> = others.iter().map(|records| hash(records)).collect();
        hashes.push(hash(&base));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 7);
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        // Of a version of this crate: it changes when what is recorded does.
        assert_eq!(trace(&records(3), 4).hash(), 0xBBC4_934B_55BD_836E);
    }

    #[test]
    fn the_tail_is_bounded_and_a_sealed_trace_stays() {
        let trace = trace(&records(10), 4);
        assert_eq!((trace.count(), trace.tail().len()), (10, 4));
        assert_eq!(trace.tail()[3].at, Duration::from_millis(9));
        let before = trace.hash();
        trace.seal();
        trace.record(Duration::ZERO, &Place::Scenario, What::Crashed);
        assert_eq!((trace.count(), trace.hash()), (10, before));
    }

    #[test]
    fn checkpoints_say_where_two_runs_parted_however_long_they_are() {
        let pass = |records: u64, odd: u64| {
            let mut all = Checkpoints::default();
            for count in 1..=records {
                all.pass(
                    count,
                    Duration::from_millis(count),
                    if count < odd { count } else { 2 * count },
                );
            }
            all
        };
        let (long, other) = (pass(100_000, u64::MAX), pass(70_000, 54_321));
        assert!(long.hashes.len() < Checkpoints::MOST && other.hashes.len() < Checkpoints::MOST);
        let (same, at) = long.same(&other);
        assert_eq!(other.same(&long), (same, at));
        assert_eq!(at, Duration::from_millis(same));
        assert!(same < 54_321 && same + long.step(&other) >= 54_321, "{same}");
        assert_eq!(pass(10, 4).same(&pass(10, u64::MAX)).0, 3);
        assert_eq!(pass(10, 1).same(&pass(10, u64::MAX)), (0, Duration::ZERO));
    }

    #[test]
    fn a_record_reads_as_a_line() {
        let frame = Frame::new(&b"lab\n"[..], "21.5", 0xAB);
        let record = Record {
            at: Duration::from_micros(1_234_567),
            place: Place::Link("sensor".into(), "hub".into()),
            what: What::Injected(Injected::Lost, Sight::of(&frame)),
        };
        assert_eq!(
            record.to_string(),
            "    1.234567s  sensor -> hub            lost lab\\n, 4 bytes, 000000ab"
        );
    }
}
