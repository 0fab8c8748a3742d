//! The conformance suite, and how to write a transport in an afternoon.
//!
//! The contract is [`Transport`](crate::Transport) and the four halves of its links. This module is the same contract as
//! programs: each public function of [`endpoints`], [`control`], [`delivery`], [`cancel`], [`slow`], [`accounting`],
//! [`limits`], [`presence`] and [`close`] is one property, and [`conformance!`](crate::conformance) makes each a
//! test of your crate. When one fails, its name is the promise that was broken and its source says what was expected.
//!
//! # Write a transport in an afternoon
//!
//! **1. A crate that depends on `distbus-transport` alone**, with the suite for its tests:
//!
//! ```toml
//! [dependencies]
//! async-trait = "0.1"
//! bytes = "1"
//! distbus-transport = "0.1"
//! tokio = { version = "1", features = ["net"] }   # whatever you need; the suite asks for nothing
//!
//! [dev-dependencies]
//! distbus-transport = { version = "0.1", features = ["testing"] }
//! ```
//!
//! **2. One line in `tests/conformance.rs`**: an expression that makes the transport, evaluated for each test, and an endpoint
//! that asks for a free one. This skeleton serves nothing yet, so that nearly every test fails and says what is missing:
//!
//! ```
//! use async_trait::async_trait;
//! use distbus_transport::{
//!     BrokerLink, ClientLink, Endpoint, Guarantees, Limits, PeerId, Transport, TransportError,
//! };
//!
//! struct Pigeon;
//!
//! #[async_trait]
//! impl Transport for Pigeon {
//!     fn name(&self) -> &'static str {
//!         "pigeon"
//!     }
//!     fn guarantees(&self) -> Guarantees {
//!         Guarantees::strong()
//!     }
//!     async fn bind(&self, endpoint: &Endpoint, _: &Limits) -> Result<BrokerLink, TransportError> {
//!         Err(unsupported(endpoint))
//!     }
//!     async fn connect(&self, endpoint: &Endpoint, _: &PeerId, _: &Limits) -> Result<ClientLink, TransportError> {
//!         Err(unsupported(endpoint))
//!     }
//! }
//!
//! fn unsupported(endpoint: &Endpoint) -> TransportError {
//!     TransportError::Unsupported { transport: "pigeon", endpoint: endpoint.clone(), takes: "tcp://host:port" }
//! }
//!
//! distbus_transport::conformance!(Pigeon, "tcp://127.0.0.1:0");
//!
//! // What that line writes for each property:
//! use distbus_transport::testing::{endpoints, run};
//! run("unsupported", || Pigeon, "tcp://127.0.0.1:0", endpoints::an_endpoint_of_another_scheme_is_unsupported);
//! ```
//!
//! **3. [`endpoints`]: `bind` and `connect`.** `bind` returns the real endpoint. `connect` goes on trying while nobody listens,
//! and dropping it leaves nothing: hold what it made in guards. Both halves of a link share a guard too, so that dropping
//! the last one closes everything.
//!
//! **4. [`control`] and [`delivery`]: the four halves.**
//!
//! | half | does |
//! | --- | --- |
//! | [`BrokerInbound`](crate::BrokerInbound) | waits, then appends all that is ready. One peer's nonsense is counted and passed over |
//! | [`BrokerOutbound`](crate::BrokerOutbound) | gives a frame to the queue of each client with a prefix of its topic, once a client, in order |
//! | [`ClientInbound`](crate::ClientInbound) | waits, then appends all that is ready, until the link has ended |
//! | [`ClientOutbound`](crate::ClientOutbound) | pushes in order and waits while the broker does not read; keeps the set of its prefixes |
//!
//! Subscriptions take effect in the order they were asked for, perhaps later than the call returns: [`Peer::ready`] shows how
//! the engine, like the suite, finds out when. Nothing may look into a frame but at its topic's first bytes.
//!
//! **5. [`cancel`]: receiving is cancel-safe.** Await first, then take, with no `await` between taking and returning: a
//! `recv` that is dropped has then taken nothing.
//!
//! **6. [`limits`], [`slow`] and [`accounting`]: bounds.** Check a limit before you reserve memory. Hold a
//! [`SubscriberQueue`](crate::queue::SubscriberQueue) for each client: it keeps the bound, the four policies and the counts, and is
//! left to wait where it says [`Offer::Full`](crate::queue::Offer). Give everybody else the batch before you wait, and let the deadlines of
//! several slow subscribers run side by side.
//!
//! **7. [`presence`] and [`close`].** Tell the broker who comes, goes and subscribes. `close` stops taking clients, drains until its
//! deadline, counts what is left, ends both halves and wakes whoever waits in them; the endpoint is free when it returns.
//!
//! **8. Tell the truth in [`guarantees`](crate::Transport::guarantees).** A test of something that you do not promise prints
//! `not promised by <name>: <words>` and passes (`cargo test -- --nocapture` shows it); what you promise is
//! tested. These hold for everybody, whatever the promises: frames travel verbatim, control messages and replies find their
//! peer, subscriptions are a set of byte prefixes, receiving is cancel-safe, a frame above a limit is a typed error on the
//! side that sends it, closing flushes, and endpoints are freed.
//!
//! The crate `distbus-memory` is the smallest complete example, and keeps every promise.
//!
//! # Running it
//!
//! `cargo test --test conformance` runs everything, and a name at the end, as in `-- cancelled`, one or a few. Each test has a runtime of
//! its own with two workers, waits at most [`STEP`] for one thing and [`DEADLINE`] in all, and then fails with a
//! message that names it. Tests of slow consumers publish up to 96 MiB, because an operating system holds some of it.
//! `two_hundred_clients` needs as many connections: `ulimit -n 4096` where there are several sockets to each.
//!
//! To test two configurations, put each line into a module of its own: `mod curve { conformance!(..); }`.

mod harness;
mod peer;
mod relay;

pub mod accounting;
pub mod cancel;
pub mod close;
pub mod control;
pub mod delivery;
pub mod endpoints;
pub mod limits;
pub mod presence;
pub mod slow;

pub use harness::{
    DEADLINE, STEP, Subject, eventually, number, numbered, numbers, peer_id, poll_times, run, soon, within,
};
pub use peer::Peer;
pub use relay::Relay;

/// Tests a transport: one `#[test]` for each property of [`testing`](crate::testing).
///
/// Takes an expression that makes the transport, evaluated afresh for each test and inside its runtime, and an endpoint,
/// as text, that asks for a free port or name.
///
/// ```
/// # use distbus_transport::{BrokerLink, ClientLink, Endpoint, Guarantees, Limits, PeerId, Transport, TransportError};
/// # struct Pigeon;
/// # #[async_trait::async_trait]
/// # impl Transport for Pigeon {
/// #     fn name(&self) -> &'static str { "pigeon" }
/// #     fn guarantees(&self) -> Guarantees { Guarantees::strong() }
/// #     async fn bind(&self, _: &Endpoint, _: &Limits) -> Result<BrokerLink, TransportError> { Err(TransportError::Closed) }
/// #     async fn connect(&self, _: &Endpoint, _: &PeerId, _: &Limits) -> Result<ClientLink, TransportError> { Err(TransportError::Closed) }
/// # }
/// distbus_transport::conformance!(Pigeon, "tcp://127.0.0.1:0");
/// ```
#[macro_export]
macro_rules! conformance {
    ($transport:expr, $any:expr $(,)?) => {
        $crate::__conformance! { ($transport, $any)
            endpoints:
                an_any_endpoint_becomes_a_real_one,
                an_endpoint_of_another_scheme_is_unsupported,
                binding_a_bound_endpoint_is_address_in_use,
                connecting_first_succeeds_once_somebody_binds,
                a_dropped_connect_leaves_nothing_behind,
                a_closed_broker_frees_its_endpoint,
                a_dropped_broker_frees_its_endpoint;
            control:
                control_messages_arrive_verbatim_with_their_peer,
                a_reply_reaches_only_its_peer,
                a_reply_to_nobody_is_an_unknown_peer;
            delivery:
                frames_of_one_publisher_stay_in_order,
                a_broker_publishes_in_order,
                a_subscription_is_a_byte_prefix,
                the_empty_prefix_takes_every_topic,
                a_frame_that_matches_twice_arrives_once,
                unsubscribing_ends_delivery,
                subscriptions_are_a_set,
                a_corrupt_frame_travels_verbatim,
                receiving_appends,
                ten_thousand_frames_in_one_batch,
                two_hundred_clients;
            cancel:
                a_cancelled_broker_receive_loses_nothing,
                a_cancelled_client_receive_loses_nothing;
            slow:
                a_slow_subscriber_does_not_stop_another_drop_newest,
                a_slow_subscriber_does_not_stop_another_drop_oldest,
                a_slow_subscriber_does_not_stop_another_block,
                a_slow_subscriber_does_not_stop_another_disconnect,
                deadlines_of_slow_subscribers_run_side_by_side,
                a_lagging_subscriber_recovers_once_its_queue_is_empty,
                drop_newest_keeps_the_oldest,
                drop_oldest_keeps_the_newest,
                disconnect_ends_the_link_and_frees_the_queue,
                a_publisher_waits_for_a_broker_that_does_not_read;
            accounting:
                every_drop_is_counted_drop_newest,
                every_drop_is_counted_drop_oldest,
                every_drop_is_counted_block,
                every_drop_is_counted_disconnect,
                closing_gives_up_at_its_deadline,
                a_client_that_leaves_frees_its_queue;
            limits:
                a_frame_of_exactly_the_limit_arrives,
                a_push_above_the_limit_is_too_large,
                a_publish_above_the_limit_is_too_large,
                one_frame_passes_an_empty_queue,
                a_prefix_above_the_limit_is_too_large,
                subscriptions_are_limited_in_number,
                subscriptions_are_limited_in_bytes,
                clients_are_limited_in_number;
            presence:
                missing_promises_are_printed,
                the_broker_hears_who_comes_and_goes,
                the_broker_hears_of_subscriptions,
                a_peer_id_in_use_is_refused,
                a_client_sees_its_broker_go;
            close:
                closing_a_broker_flushes,
                closing_a_client_flushes,
                closing_twice_reports_the_same,
                both_halves_of_a_closed_broker_are_closed,
                both_halves_of_a_closed_client_are_closed,
                what_a_broker_had_received_comes_before_closed;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    ($subject:tt $($module:ident: $($property:ident),+ ;)+) => {
        $($($crate::__conformance_test! { $subject $module $property })+)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    (($transport:expr, $any:expr) $module:ident $property:ident) => {
        #[test]
        fn $property() {
            $crate::testing::run(
                stringify!($property),
                || $transport,
                $any,
                $crate::testing::$module::$property,
            );
        }
    };
}
