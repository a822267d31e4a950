//! The contract of the port, run over every adapter. A new adapter is one line at the end of this file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows only functions marked as tests")]

#[path = "contract/claiming.rs"]
mod claiming;
#[path = "contract/consuming.rs"]
mod consuming;
#[path = "contract/keeping.rs"]
mod keeping;

#[path = "contract/kit.rs"]
mod kit;
#[cfg(feature = "jetstream")]
#[path = "nats/server.rs"]
mod nats;
#[path = "contract/publishing.rs"]
mod publishing;
#[path = "contract/reading.rs"]
mod reading;

/// One test per rule of the contract, for the adapter that `$rig` sets up.
macro_rules! contract {
    ($adapter:ident, $rig:expr) => {
        mod $adapter {
            contract!(@rules $rig;
                publishing: sequences_ascend_from_one, an_id_is_stored_once, ids_are_forgotten_after_the_window,
                    an_id_outlives_its_message, compare_and_set, of_many_writers_one_wins,
                    a_refused_one_does_not_hurt_its_batch, bad_requests_are_refused, too_large_is_refused,
                    unknown_streams_are_missing, stored_time_never_runs_backwards, tables_keep_the_last;
                consuming: in_order_and_once, comes_again_without_an_ack, comes_again_after_a_nack,
                    progress_holds_it, late_acks_count, no_more_than_allowed_are_out, filters_select,
                    fetch_wakes_up, fetch_gives_up, begins_where_told, keeps_its_place_under_new_filters,
                    a_deleted_one_is_gone, two_consumers_share_nothing, redeliveries_come_first,
                    a_purged_message_is_settled, many_are_fetched_in_batches;
                reading: ranges, wildcards, last_and_get, waits_for_growth, waits_no_longer_than_told;
                keeping: purge_empties_a_subject, purge_up_to, a_full_stream_refuses, full_by_bytes,
                    acked_messages_make_room, nothing_unacked_makes_room, old_messages_go,
                    a_jump_of_the_clock_removes_nothing, limits_can_change, blobs, close_ends_all;
                claiming: one_holds_it, tokens_grow, renewal_keeps_the_token, release_frees_it,
                    an_old_claim_cannot_release, racing_claims, members_share_and_take_over;
            );
        }
    };
    (@rules $rig:expr; $($module:ident: $($rule:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let rig = $rig;
                if !rig.leaves_out(stringify!($rule)) {
                    crate::$module::$rule(&rig).await;
                }
            })+
        })+
    };
}

contract!(memory, crate::kit::Rig::memory());
contract!(embedded, crate::kit::Rig::embedded());
#[cfg(feature = "jetstream")]
contract!(jetstream, crate::kit::Rig::jetstream());
#[cfg(feature = "jetstream")]
contract!(jetstream_cluster, crate::kit::Rig::cluster());
