use crate::index::{Index, Key};
use bytes::Bytes;
use distbus_transport::{Limits, PeerId, Reject, TransportError};
use std::collections::{BTreeMap, BTreeSet};

/// The clients of one broker, with their subscriptions: a plain state machine that knows what is allowed.
/// `M` is what else belongs to a client.
#[derive(Debug)]
pub(crate) struct Roster<M> {
    most: usize,
    next: Key,
    members: BTreeMap<Key, Member<M>>,
    keys: BTreeMap<PeerId, Key>,
    index: Index,
}

#[derive(Debug)]
struct Member<M> {
    peer: PeerId,
    mailbox: M,
    prefixes: BTreeSet<Bytes>,
    prefix_bytes: usize,
}

/// Why a client is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reject: Reject,
    pub(crate) reason: String,
}

impl<M> Roster<M> {
    /// Empty, for so many clients at most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            next: 0,
            members: BTreeMap::new(),
            keys: BTreeMap::new(),
            index: Index::default(),
        }
    }

    /// Whether this client may come in.
    pub(crate) fn check(&self, peer: &PeerId) -> Result<(), Refusal> {
        if self.keys.contains_key(peer) {
            return Err(Refusal {
                reject: Reject::DuplicatePeer,
                reason: format!("peer id {peer} is in use; choose another, or close the one that holds it"),
            });
        }
        if self.members.len() >= self.most {
            let most = self.most;
            return Err(Refusal {
                reject: Reject::Clients,
                reason: format!("it has {most} clients, as many as it takes; close one, or raise the limit"),
            });
        }
        Ok(())
    }

    pub(crate) fn admit(&mut self, peer: &PeerId, mailbox: M) -> Result<Key, Refusal> {
        self.check(peer)?;
        let key = self.next;
        self.next += 1;
        self.keys.insert(peer.clone(), key);
        let member = Member {
            peer: peer.clone(),
            mailbox,
            prefixes: BTreeSet::new(),
            prefix_bytes: 0,
        };
        self.members.insert(key, member);
        Ok(key)
    }

    /// Takes a client out, and its subscriptions; nothing when it is not there.
    pub(crate) fn remove(&mut self, key: Key) -> Option<(PeerId, M)> {
        let member = self.members.remove(&key)?;
        self.keys.remove(&member.peer);
        for prefix in &member.prefixes {
            self.index.remove(prefix, key);
        }
        Some((member.peer, member.mailbox))
    }

    /// Takes everybody out.
    pub(crate) fn clear(&mut self) -> Vec<M> {
        let most = self.most;
        let members = std::mem::replace(self, Self::new(most)).members;
        members.into_values().map(|member| member.mailbox).collect()
    }

    /// Whether this subscription would be new: `Ok(false)` when the client has it already.
    pub(crate) fn check_subscription(
        &self,
        key: Key,
        prefix: &Bytes,
        limits: &Limits,
    ) -> Result<bool, TransportError> {
        if prefix.len() > limits.topic_bytes {
            return Err(TransportError::TooLarge {
                what: "a subscription",
                size: prefix.len(),
                limit: limits.topic_bytes,
            });
        }
        let member = self.members.get(&key).ok_or(TransportError::Closed)?;
        if member.prefixes.contains(prefix) {
            return Ok(false);
        }
        let reached = |what, limit| Err(TransportError::LimitReached { what, limit });
        if member.prefixes.len() >= limits.subscriptions {
            return reached("subscriptions", limits.subscriptions);
        }
        if prefix.len() > limits.subscription_bytes.saturating_sub(member.prefix_bytes) {
            return reached("bytes of subscriptions", limits.subscription_bytes);
        }
        Ok(true)
    }

    /// Adds a subscription that was checked.
    pub(crate) fn subscribe(&mut self, key: Key, prefix: &Bytes) {
        if let Some(member) = self.members.get_mut(&key)
            && member.prefixes.insert(Bytes::copy_from_slice(prefix))
        {
            member.prefix_bytes += prefix.len();
            self.index.insert(prefix, key);
        }
    }

    /// Whether the client has this subscription.
    pub(crate) fn has_subscription(&self, key: Key, prefix: &Bytes) -> Result<bool, TransportError> {
        let member = self.members.get(&key).ok_or(TransportError::Closed)?;
        Ok(member.prefixes.contains(prefix))
    }

    pub(crate) fn unsubscribe(&mut self, key: Key, prefix: &Bytes) {
        if let Some(member) = self.members.get_mut(&key)
            && member.prefixes.remove(prefix)
        {
            member.prefix_bytes -= prefix.len();
            self.index.remove(prefix, key);
        }
    }

    /// Who wants this topic, in the order they connected, each once.
    pub(crate) fn matching(&self, topic: &[u8], keys: &mut Vec<Key>) {
        self.index.matching(topic, keys);
    }

    pub(crate) fn mailbox(&self, key: Key) -> Option<&M> {
        self.members.get(&key).map(|member| &member.mailbox)
    }

    pub(crate) fn find(&self, peer: &PeerId) -> Option<(Key, &M)> {
        let key = *self.keys.get(peer)?;
        Some((key, self.mailbox(key)?))
    }

    /// Everybody, in the order they connected.
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &M> {
        self.members.values().map(|member| &member.mailbox)
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.members.contains_key(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &'static str) -> PeerId {
        PeerId::new(name).unwrap()
    }

    fn subscribe(
        roster: &mut Roster<()>,
        key: Key,
        prefix: &'static str,
        limits: &Limits,
    ) -> Result<bool, TransportError> {
        let prefix = Bytes::from(prefix);
        let new = roster.check_subscription(key, &prefix, limits)?;
        roster.subscribe(key, &prefix);
        Ok(new)
    }

    #[test]
    fn an_id_is_held_until_its_client_leaves() {
        let mut roster = Roster::new(8);
        let key = roster.admit(&peer("a"), ()).unwrap();
        assert_eq!(
            roster.admit(&peer("a"), ()).unwrap_err().reject,
            Reject::DuplicatePeer
        );
        assert_eq!(roster.remove(key), Some((peer("a"), ())));
        assert_eq!(roster.remove(key), None);
        let again = roster.admit(&peer("a"), ()).unwrap();
        assert_ne!(key, again, "a key is never used again");
        assert_eq!(roster.find(&peer("a")), Some((again, &())));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut roster = Roster::new(1);
        let key = roster.admit(&peer("a"), ()).unwrap();
        let refusal = roster.admit(&peer("b"), ()).unwrap_err();
        assert_eq!(refusal.reject, Reject::Clients);
        assert!(!refusal.reason.contains('\n'));
        roster.remove(key);
        assert!(roster.admit(&peer("b"), ()).is_ok());
    }

    #[test]
    fn subscriptions_are_a_set_within_limits() {
        let limits = Limits::default()
            .with_subscriptions(2)
            .with_subscription_bytes(8)
            .with_topic_bytes(6);
        let mut roster = Roster::new(8);
        let key = roster.admit(&peer("a"), ()).unwrap();
        assert!(subscribe(&mut roster, key, "four", &limits).unwrap());
        assert!(!subscribe(&mut roster, key, "four", &limits).unwrap());
        let answer = subscribe(&mut roster, key, "five5", &limits);
        assert!(
            matches!(answer, Err(TransportError::LimitReached { limit: 8, .. })),
            "{answer:?}"
        );
        let answer = subscribe(&mut roster, key, "seven77", &limits);
        assert!(
            matches!(
                answer,
                Err(TransportError::TooLarge {
                    size: 7,
                    limit: 6,
                    ..
                })
            ),
            "{answer:?}"
        );
        assert!(subscribe(&mut roster, key, "", &limits).unwrap());
        let answer = subscribe(&mut roster, key, "x", &limits);
        assert!(
            matches!(answer, Err(TransportError::LimitReached { limit: 2, .. })),
            "{answer:?}"
        );
        roster.unsubscribe(key, &Bytes::from("four"));
        assert!(subscribe(&mut roster, key, "eight888".get(..6).unwrap(), &limits).unwrap());
    }

    #[test]
    fn who_left_matches_nothing() {
        let mut roster = Roster::new(8);
        let limits = Limits::default();
        let [one, two] = ["a", "b"].map(|name| roster.admit(&peer(name), ()).unwrap());
        for key in [two, one] {
            subscribe(&mut roster, key, "t", &limits).unwrap();
        }
        let mut keys = Vec::new();
        roster.matching(b"topic", &mut keys);
        assert_eq!(keys, [one, two]);
        roster.remove(one);
        roster.matching(b"topic", &mut keys);
        assert_eq!(keys, [two]);
        assert!(matches!(
            subscribe(&mut roster, one, "t", &limits),
            Err(TransportError::Closed)
        ));
        assert_eq!(roster.clear().len(), 1);
        roster.matching(b"topic", &mut keys);
        assert!(keys.is_empty());
    }
}
