//! What exactly is on the wire, and what becomes of anything else.

use bytes::Bytes;
use distbus_transport::testing::{Peer, Relay, Subject, eventually, peer_id, soon, within};
use distbus_transport::{Endpoint, Frame, Limits, Reject, Transport, TransportError};
use distbus_zeromq::ZeroMq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zeromq::{DealerSocket, PubSocket, PullSocket, PushSocket, RouterSocket, SocketOptions, SubSocket};
use zeromq::{Socket, SocketRecv, SocketSend, ZmqMessage};

fn subject() -> Subject {
    Subject::new(ZeroMq::new(), Endpoint::tcp("127.0.0.1", 0))
}

/// The address of a broker's socket: 0 control, 1 publish, 2 collect.
fn address(endpoint: &Endpoint, offset: u16) -> String {
    format!(
        "tcp://127.0.0.1:{}",
        endpoint.port().expect("a TCP port") + offset
    )
}

fn message(parts: &[&[u8]]) -> ZmqMessage {
    let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
    ZmqMessage::try_from(parts).expect("at least one part")
}

async fn pusher(relay: &Relay) -> PushSocket {
    let mut push = PushSocket::new();
    push.connect(&address(&relay.endpoint, 2))
        .await
        .expect("a connection");
    push
}

#[tokio::test]
async fn foreign_sockets_see_three_frames_and_one() {
    let relay = subject().relay(&Limits::default()).await;
    let mut options = SocketOptions::default();
    options.peer_identity("foreign".parse().unwrap());
    let mut dealer = DealerSocket::with_options(options);
    dealer.connect(&address(&relay.endpoint, 0)).await.unwrap();
    dealer.send(message(&[b"hello"])).await.unwrap();
    relay
        .find("hello", |seen| {
            let control = seen.signals.pop()?;
            assert!(format!("{control:?}").contains("hello"), "{control:?}");
            Some(())
        })
        .await;
    relay.reply(&peer_id("foreign"), "welcome").await.unwrap();
    let reply = within("the reply", dealer.recv()).await.unwrap();
    assert_eq!(reply.into_vec(), ["welcome"]);

    let mut sub = SubSocket::new();
    sub.connect(&address(&relay.endpoint, 1)).await.unwrap();
    sub.subscribe("lab.").await.unwrap();
    let mut push = pusher(&relay).await;
    let event = message(&[b"lab.temp", b"21.5", &[0xDE, 0xAD, 0xBE, 0xEF]]);
    // Nobody says when the subscription is there: push until it comes back.
    let relayed = within("the event", async {
        loop {
            push.send(event.clone()).await.unwrap();
            let wait = std::time::Duration::from_millis(20);
            if let Ok(event) = tokio::time::timeout(wait, sub.recv()).await {
                return event.unwrap();
            }
        }
    });
    assert_eq!(relayed.await.into_vec(), event.into_vec());
    let frame = relay.frames(1).await.remove(0);
    assert_eq!(frame, Frame::new("lab.temp", "21.5", 0xDEAD_BEEF));
}

#[tokio::test]
async fn what_is_no_event_is_counted_and_harms_nobody() {
    let limits = Limits::default().with_event_bytes(10);
    let relay = subject().relay(&limits).await;
    let mut push = pusher(&relay).await;
    let sum = [0; 4];
    let bad: [&[&[u8]]; 5] = [
        &[b"one"],
        &[b"two", b"frames"],
        &[b"", b"four", &sum, b""],
        &[b"t", b"b", b"sum"],
        &[b"t", &[0; 11], &sum],
    ];
    for parts in bad {
        push.send(message(parts)).await.unwrap();
    }
    // Not ZMTP at all, and ZMTP that ends in the middle: one connection each.
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF]] {
        let mut stream = TcpStream::connect(&address(&relay.endpoint, 2)[6..])
            .await
            .unwrap();
        stream.write_all(junk).await.unwrap();
    }
    push.send(message(&[b"t", b"good", &sum])).await.unwrap();
    assert_eq!(relay.frames(1).await[0].body(), "good");
    let counters = relay.counters.clone();
    eventually("two broken handshakes", || {
        counters.rejected.get(Reject::Handshake) == 2
    })
    .await;
    let counted = relay.counters.snapshot();
    assert_eq!(counted.received, 6);
    assert_eq!(counted.rejected_by(Reject::Malformed), 4);
    assert_eq!(counted.rejected_by(Reject::TooLarge), 1);
}

#[tokio::test]
async fn a_peer_that_breaks_off_its_protocol_is_counted_and_harms_nobody() {
    let relay = subject().relay(&Limits::default()).await;
    let mut stream = TcpStream::connect(&address(&relay.endpoint, 2)[6..])
        .await
        .unwrap();
    let mut greeting = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    greeting.extend(b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04PUSH");
    // A command that the crate does not know: it gives up the connection.
    greeting.extend(b"\x04\x05\x04PING");
    stream.write_all(&greeting).await.unwrap();
    let counters = relay.counters.clone();
    eventually("the command", || counters.rejected.get(Reject::Malformed) == 1).await;
    let mut push = pusher(&relay).await;
    push.send(message(&[b"t", b"good", &[0; 4]])).await.unwrap();
    assert_eq!(relay.frames(1).await[0].body(), "good");
}

#[tokio::test]
async fn control_messages_are_one_frame() {
    let relay = subject().relay(&Limits::default()).await;
    let mut dealer = DealerSocket::new();
    dealer.connect(&address(&relay.endpoint, 0)).await.unwrap();
    dealer.send(message(&[b"two", b"frames"])).await.unwrap();
    dealer.send(message(&[b"one"])).await.unwrap();
    relay.find("one frame", |seen| seen.signals.pop()).await;
    assert_eq!(relay.counters.rejected.get(Reject::Control), 1);
    assert_eq!(relay.counters.snapshot().clients, 1);
    drop(dealer);
    let counters = relay.counters.clone();
    eventually("the client leaving", || counters.snapshot().clients == 0).await;
}

/// A broker of bare sockets, on any three neighbouring ports.
async fn bare() -> (Endpoint, RouterSocket, PubSocket, PullSocket) {
    loop {
        let any = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = any.local_addr().expect("its address").port();
        let endpoint = Endpoint::tcp("127.0.0.1", port.min(65_533));
        drop(any);
        let (mut router, mut publish, mut collect) =
            (RouterSocket::new(), PubSocket::new(), PullSocket::new());
        if router.bind(&address(&endpoint, 0)).await.is_ok()
            && publish.bind(&address(&endpoint, 1)).await.is_ok()
            && collect.bind(&address(&endpoint, 2)).await.is_ok()
        {
            return (endpoint, router, publish, collect);
        }
    }
}

#[tokio::test]
async fn a_client_counts_what_is_no_event() {
    let (endpoint, _router, mut publish, mut collect) = within("three ports", bare()).await;
    let (transport, id, limits) = (ZeroMq::new(), peer_id("client"), Limits::default());
    let link = within("connecting", transport.connect(&endpoint, &id, &limits))
        .await
        .unwrap();
    let counters = link.counters.clone();
    let mut client = Peer::new("client", link);
    client.subscribe("").await;
    let relaying = tokio::spawn(async move {
        // Something no client should get comes before each event.
        while let Ok(event) = collect.recv().await {
            publish.send(message(&[b"lonely"])).await.unwrap();
            publish.send(event).await.unwrap();
        }
    });
    client.ready().await;
    client.push(&[Frame::sealed("t", "good")]).await;
    assert_eq!(client.frames(1).await[0].body(), "good");
    assert!(counters.rejected.get(Reject::Malformed) > 0);
    relaying.abort();
}

#[tokio::test]
async fn endpoints_that_cannot_be() {
    let transport = ZeroMq::new();
    let limits = Limits::default();
    for endpoint in [Endpoint::tcp("127.0.0.1", 65_534), Endpoint::mem("name")] {
        let bound = within("refusing", transport.bind(&endpoint, &limits)).await;
        assert!(
            matches!(bound, Err(TransportError::Unsupported { .. })),
            "{endpoint}"
        );
        let connected = within("refusing", transport.connect(&endpoint, &peer_id("p"), &limits)).await;
        assert!(
            matches!(connected, Err(TransportError::Unsupported { .. })),
            "{endpoint}"
        );
    }
    let error = within(
        "refusing",
        transport.connect(&Endpoint::tcp("h", 0), &peer_id("p"), &limits),
    )
    .await;
    assert!(
        error
            .err()
            .unwrap()
            .to_string()
            .contains("tcp://host:port with a port up to 65533")
    );
    let nowhere = within(
        "a name that is no address",
        transport.bind(&Endpoint::tcp("192.0.2.1", 0), &limits),
    )
    .await;
    assert!(matches!(nowhere, Err(TransportError::Bind { .. })));
}

#[tokio::test]
async fn a_neighbour_in_use_is_named() {
    let link = subject().bind(&Limits::default()).await;
    let port = link.endpoint.port().unwrap();
    for below in 1..=2 {
        let endpoint = Endpoint::tcp("127.0.0.1", port - below);
        let Err(error) = ZeroMq::new().bind(&endpoint, &Limits::default()).await else {
            panic!("bound {endpoint} over {port}");
        };
        assert!(matches!(error, TransportError::AddressInUse { .. }), "{error}");
    }
}

#[tokio::test]
async fn silent_connections_do_not_hold_up_a_close() {
    let mut link = subject().bind(&Limits::default()).await;
    let mut silent = Vec::new();
    for offset in 0..3 {
        silent.push(
            TcpStream::connect(&address(&link.endpoint, offset)[6..])
                .await
                .unwrap(),
        );
    }
    let report = within("closing", link.outbound.close(soon())).await;
    assert_eq!(report.undelivered, 0);
    for mut stream in silent {
        let mut greeting = Vec::new();
        // The end, one way or the other: with the greeting unread on that side it may come as a reset.
        let _ = within("a silent connection ending", stream.read_to_end(&mut greeting)).await;
    }
    let again = within(
        "binding again",
        ZeroMq::new().bind(&link.endpoint, &Limits::default()),
    )
    .await;
    assert_eq!(again.unwrap().endpoint, link.endpoint);
}

#[tokio::test]
async fn what_speaks_something_else_is_refused() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::tcp("127.0.0.1", server.local_addr().unwrap().port().min(65_533));
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(&[b'H'; 64]).await.unwrap();
        }
    });
    let (transport, id, limits) = (ZeroMq::new(), peer_id("p"), Limits::default());
    let Err(error) = within("being refused", transport.connect(&endpoint, &id, &limits)).await else {
        panic!("connected to something else");
    };
    assert!(matches!(error, TransportError::Refused { .. }), "{error}");
    serving.abort();
}

#[tokio::test]
async fn a_peer_that_reads_no_replies_costs_a_bound_and_the_rest_is_counted() {
    let relay = subject().relay(&Limits::default()).await;
    let mut deaf = TcpStream::connect(&address(&relay.endpoint, 0)[6..])
        .await
        .unwrap();
    let mut greeting = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 0];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    greeting.extend(b"\x04\x2A\x05READY\x0BSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x04deaf");
    greeting[65] = (greeting.len() - 66) as u8;
    greeting.extend(b"\0\x02hi");
    deaf.write_all(&greeting).await.unwrap();
    relay.find("hi", |seen| seen.signals.pop()).await;
    let large = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..200 {
        relay.reply(&peer_id("deaf"), large.clone()).await.unwrap();
    }
    let dropped = relay.counters.snapshot().total_dropped();
    assert!((1..200).contains(&dropped), "{dropped} dropped");
    let mut other = subject().client(&relay, "other", &Limits::default()).await;
    relay.reply(&peer_id("other"), "to you").await.unwrap();
    assert_eq!(other.control().await, "to you");
}
