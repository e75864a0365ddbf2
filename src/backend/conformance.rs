//! The conformance suite: the promises of [`Log`], [`ReadMarkers`], [`SessionStore`], [`Outbox`] and [`DocumentStore`] as tests that every
//! implementation passes. It tests what the traits document, and nothing that only one implementation does.

use async_trait::async_trait;

use super::*;
use crate::backend::redis::testing::Cluster;

mod appending;
mod documents;
mod fixture;
mod missed;
mod outbox;
mod paging;
mod read_markers;
mod retention;
pub(super) mod sessions;
mod unwritten;

use fixture::{Fixture, LogKind};
pub(super) use fixture::{ManualClock, draft, key, named, policy, seqs};

/// A log that can trim everything at once instead of over time.
#[async_trait]
pub(super) trait LogUnderTest: Log + ReadMarkers + SessionStore + Outbox {
    async fn trim_all(&self, now: Timestamp);

    /// How many rows, keys or entries are stored.
    async fn stored(&self) -> usize;

    /// The documents beside it.
    fn documents(&self) -> &dyn DocumentStore;
}

#[async_trait]
impl LogUnderTest for memory::MemoryLog {
    async fn trim_all(&self, now: Timestamp) {
        self.trim(now.into());
    }

    async fn stored(&self) -> usize {
        self.entries()
    }

    fn documents(&self) -> &dyn DocumentStore {
        self
    }
}

/// Makes a test of each function for each kind of log.
macro_rules! suite {
    (@kind $module:ident $kind:ident $($test:path => $name:ident,)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    $test(LogKind::$kind).await;
                }
            )*
        }
    };
    ($($from:ident: $($name:ident),* $(,)?;)*) => {
        suite!(@kind in_memory Memory $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_cold Cold $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_warm Warm $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_hot Hot $($($from::$name => $name,)*)*);
        suite!(@kind in_redis Redis $($($from::$name => $name,)*)*);

        // One after another: a Cluster takes seconds to start.
        #[tokio::test]
        async fn in_redis_cluster() {
            let cluster = Cluster::start().await;
            let urls = cluster.urls().leak();
            $($(
                println!("{}", stringify!($name));
                Box::pin($from::$name(LogKind::Cluster(urls))).await;
            )*)*
        }
    };
}

suite! {
    appending:
        drafts_are_stored_in_the_order_they_were_accepted,
        offsets_grow_over_all_rooms_of_a_namespace_and_namespaces_are_apart,
        a_repeated_id_returns_the_first_result_and_is_stored_once,
        an_id_is_remembered_after_its_message_was_deleted_until_its_window_ends,
        a_message_is_delivered_before_its_receipt_is_settled,
        a_draft_whose_receipt_is_dropped_is_stored,
        everything_about_a_message_comes_back_as_it_was_sent,
        an_event_sent_after_a_settled_append_is_delivered_after_it,
        a_broadcast_is_delivered_as_it_was_sent_after_what_was_settled_before,
        appends_continue_when_the_deliveries_are_dropped,
        closing_stores_what_was_accepted_and_rejects_the_rest;
    paging:
        a_settled_message_is_seen_by_every_later_read,
        every_page_matches_a_plain_list;
    retention:
        each_room_keeps_the_number_of_its_first_matching_rule,
        an_expired_message_is_not_returned_even_before_it_is_trimmed,
        a_room_that_keeps_no_messages_still_numbers_and_delivers,
        a_room_over_its_limit_is_trimmed_while_it_is_written,
        a_room_is_forgotten_when_it_was_empty_and_unused_for_a_week,
        timestamps_never_decrease_within_a_room;
    documents:
        updates_are_numbered_without_gaps_and_come_back_as_they_were,
        documents_are_apart_from_each_other_and_from_rooms,
        changes_are_told_of_once_after_a_while_and_again_after_the_next,
        a_deleted_document_is_not_told_of,
        updates_that_come_together_get_different_numbers,
        a_snapshot_takes_the_place_of_the_updates_before_it,
        a_snapshot_of_what_is_merged_already_changes_nothing,
        a_document_that_is_full_takes_no_update_until_it_is_compacted,
        a_document_that_was_deleted_continues_with_higher_numbers,
        documents_are_listed_by_name_page_by_page,
        documents_are_not_deleted_with_the_messages_of_rooms,
        a_closed_log_rejects_documents;
    read_markers:
        a_marker_only_advances,
        a_marker_stops_at_the_last_message,
        messages_after_a_marker_are_unread_even_when_they_were_deleted,
        markers_of_users_rooms_and_namespaces_are_separate,
        a_room_never_written_has_no_marker,
        a_stored_marker_is_seen_by_every_later_read,
        a_marker_is_stored_in_order_with_the_drafts,
        a_forgotten_room_loses_its_markers,
        setting_a_marker_counts_as_use_of_a_room,
        a_marker_is_forgotten_when_it_was_not_set_for_a_month,
        a_marker_is_remembered_as_long_as_its_room_keeps_messages,
        a_closed_log_rejects_markers;
    unwritten:
        reading_rooms_that_were_never_written_stores_nothing,
        a_room_keeps_the_epoch_that_it_was_first_read_with,
        a_forgotten_room_never_gets_an_earlier_epoch_again;
    missed:
        what_was_missed_is_what_was_sent_between_two_offsets,
        what_was_missed_can_be_read_in_parts,
        messages_trimmed_by_count_make_earlier_offsets_incomplete,
        expired_messages_count_as_deleted_even_before_they_are_trimmed,
        a_room_whose_messages_were_all_deleted_knows_up_to_which_offset,
        in_a_room_that_keeps_no_messages_every_message_counts_as_deleted,
        nothing_is_missed_in_a_room_never_written,
        a_page_has_the_offset_of_the_last_message,
        the_offset_of_a_namespace_matches_what_can_be_read_and_is_delivered,
        a_closed_log_rejects_reads_of_missed_messages,
        what_was_missed_matches_a_plain_list;
    sessions:
        a_saved_session_is_found_as_it_was_saved_last,
        changes_of_a_session_take_effect_in_the_order_of_the_requests,
        a_session_is_found_while_active_and_for_a_window_after_its_end,
        a_session_saved_after_it_ended_is_active_again,
        a_deleted_session_is_not_found_and_ending_an_unknown_one_does_nothing,
        deleting_the_sessions_of_a_user_deletes_all_of_them_and_no_others,
        removing_a_user_from_a_room_changes_all_of_its_sessions_and_no_others,
        a_closed_log_rejects_sessions;
    outbox:
        the_outbox_has_what_happened_in_order,
        a_message_is_in_the_outbox_as_often_as_its_draft_says_and_a_repeat_is_not,
        a_message_of_a_room_that_keeps_none_is_not_in_the_outbox,
        a_message_that_is_gone_from_the_log_leaves_its_entry,
        only_the_first_and_the_last_member_occupy_and_vacate_a_room,
        setting_a_member_again_adds_nothing,
        a_personal_room_says_when_its_user_comes_and_goes,
        the_outbox_is_read_in_pages,
        the_oldest_events_are_deleted_when_there_are_too_many,
        whoever_waits_for_events_is_woken,
        an_endpoint_has_what_was_saved_last,
        a_closed_log_has_no_outbox;
}
