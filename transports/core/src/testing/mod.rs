//! Conformance suite.

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

/// Tests a transport: one `#[test]` a property of [`testing`](crate::testing).
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
