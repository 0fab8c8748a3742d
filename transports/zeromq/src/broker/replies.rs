use bytes::Bytes;
use distbus_transport::PeerId;
use std::collections::HashMap;
use std::sync::Arc;

use crate::gate::guarded;

/// Replies that one peer may leave unread. The crate would take 100,000, and at the next one stop everybody.
const UNREAD: usize = 64;
/// Peers with a count, beyond which those who have read everything are forgotten.
const PEERS: usize = 1024;

/// Counts what each peer has not read yet.
#[derive(Default)]
pub(crate) struct Replies {
    unread: HashMap<PeerId, Arc<()>>,
}

impl Replies {
    /// The message as it is to be sent, or `None` when this peer reads nothing.
    pub(crate) fn admit(&mut self, peer: &PeerId, message: Bytes) -> Option<Bytes> {
        if self.unread.len() >= PEERS {
            self.unread.retain(|_, count| Arc::strong_count(count) > 1);
        }
        // Each message holds a clone: the number of clones is the number of messages still in the crate's queue.
        let count = self.unread.entry(peer.clone()).or_default();
        (Arc::strong_count(count) <= UNREAD).then(|| guarded(message, Arc::clone(count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_reads_nothing_costs_a_bound() {
        let (mut replies, peer) = (Replies::default(), PeerId::new("p").unwrap());
        let mut queue: Vec<_> = (0..UNREAD)
            .map(|_| replies.admit(&peer, Bytes::from_static(b"hi")).unwrap())
            .collect();
        assert_eq!(replies.admit(&peer, Bytes::new()), None);
        assert!(
            replies
                .admit(&PeerId::new("other").unwrap(), Bytes::new())
                .is_some()
        );
        assert_eq!(queue.pop().unwrap(), "hi");
        assert!(replies.admit(&peer, Bytes::new()).is_some());
    }

    #[test]
    fn peers_that_read_are_forgotten() {
        let mut replies = Replies::default();
        for n in 0..3 * PEERS {
            drop(replies.admit(&PeerId::new(n.to_string()).unwrap(), Bytes::new()));
        }
        assert!(replies.unread.len() <= PEERS);
    }
}
