use super::host::Host;
use super::id::Origin;
use crate::codec::{Codec, Envelope, PayloadKind};
use bytes::{Bytes, BytesMut};
use distbus_transport::Frame;

/// An event of the bus itself, without data and outside every sequence: a pulse, a close event, or, under a topic of its own, a probe.
pub(crate) fn signal<C: Codec>(codec: &C, host: &dyn Host, under: Bytes, topic: &str) -> Frame {
    let id = Origin::untracked(host).id();
    let envelope = Envelope {
        topic,
        data: None,
        kind: PayloadKind::Unknown,
        id: &id,
        timestamp: host.now(),
    };
    let mut body = BytesMut::new();
    codec.write_event(&envelope, &mut body);
    Frame::sealed(under, body.freeze())
}
