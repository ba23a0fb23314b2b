//! Faults that libraries of this kind have had, and the tests that would find each here.
//!
//! `docs/conformance.md` shows the table; `tests/document.rs` sees to it that every test in it exists.

use std::fmt::Write;

/// One fault.
pub struct Known {
    /// Its number among those that were collected.
    pub number: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// What keeps it from this library.
    pub by: By,
}

/// What keeps a fault away.
pub enum By {
    /// Tests, by the names of their functions; each would fail if it were there.
    Tests(&'static [&'static str]),
    /// It cannot be written: the types, or the shape of the thing, rule it out.
    Shape(&'static str),
}

use By::{Shape, Tests};

const fn known(number: &'static str, what: &'static str, by: By) -> Known {
    Known { number, what, by }
}

/// All that were collected, as far as they concern what is built.
pub const KNOWN: &[Known] = &[
    known("W-01", "an advance of the tracker and a wait miss each other", Tests(TRACKER_RACES)),
    known("W-02", "advances of one axis that race fail its semaphore", Tests(ADVANCES)),
    known(
        "W-03",
        "a failed axis is hidden behind a pending one",
        Tests(&["a_failed_axis_is_seen_behind_a_pending_one"]),
    ),
    known("W-04", "the tracker calls back under its lock", Tests(TRACKER_CALLS)),
    known("W-05", "an advance looks at every waiter", Shape("waiters stand with their axis, ordered by epoch")),
    known("W-06", "axes cannot join or leave while work runs", Tests(AXES)),
    known("W-07", "a retired axis keeps its place for ever", Tests(PLACES)),
    known("W-08", "waiters of equal values end in reverse, and every signal scans them all", Tests(WAITER_ORDER)),
    known("W-09", "a failed semaphore can still be signalled", Tests(FAILED_SEMAPHORE)),
    known("W-10", "a value is seen before its causes", Tests(CAUSES)),
    known("W-11", "links and waits for any fail though what they are for was reached", Tests(WAIT_FOR_ANY)),
    known("W-12", "who frees a failure is said in two ways", Shape("a status is a counted value")),
    known("W-13", "a notification is lost between epoch and observer", Tests(OBSERVERS)),
    known("W-14", "callbacks that change the list of progress callbacks lose entries", Tests(PROGRESS)),
    known("W-15", "memory and semaphores go away under operations that use them", Tests(HELD)),
    known("W-16", "backends answer with different codes; a cancel never says NotFound", Tests(SAME_ANSWERS)),
    known(
        "W-17",
        "a failed connect makes the socket fail for good",
        Tests(&["a_failed_connect_is_no_failure_of_the_socket"]),
    ),
    known("W-18", "a pool of events takes a lock", Tests(EVENT_POOLS)),
    known("W-19", "an index from shared memory is used unchecked", Tests(HOSTILE)),
    known("W-20", "a crashed peer's buffers are lost; the hand-over is not ordered", Tests(CRASHED)),
    known("W-21", "it is unclear which thread may give a buffer back", Tests(LEASES_ANYWHERE)),
    known("W-21a", "kernel and program own the same buffer", Tests(ONE_OWNER)),
    known("W-21b", "a lease outlives its pool and is given back to freed memory", Tests(LEASES_OUTLIVE)),
    known("W-22, W-23", "a pool of proactors hangs at its end, or stalls its nodes", Tests(PROACTOR_POOLS)),
    known("W-24", "where a proactor is to run is declared, and nothing reads it", Tests(AFFINITY)),
    known("W-25", "trimming a pool of operations does nothing; large classes are refused", Tests(OPERATION_POOLS)),
    known("W-26, W-47", "messages need a lock, and a signal handler may send them", Tests(MESSAGES)),
    known("W-27", "a sequence calls back inside submit, or loses its steps' callbacks", Tests(SEQUENCES)),
    known("W-28, W-41", "signals are delivered no more after a new subscription", Tests(SIGNALS)),
    known("W-30", "a receive with many outcomes is refused by the kernel and nobody looks", Tests(MULTISHOT_RECEIVE)),
    known(
        "W-31, W-35, W-65",
        "waits for notifications are not found by a cancel, or end by another's wake",
        Tests(NOTIFICATIONS),
    ),
    known("W-32, W-33", "cancelling a semaphore wait races with its signal", Tests(WAIT_RACES)),
    known("W-34", "a signal in a chain has its effect at submit", Tests(EFFECTS)),
    known("W-36", "entries that the kernel did not take are stranded, a signal loses the count", Tests(RING)),
    known("W-37", "a zero-copy send's error is dropped; a cancel makes a socket fail for good", Tests(STICKY)),
    known("W-38", "several accepts share one address", Tests(ACCEPTS)),
    known("W-39, W-40, W-68", "relays and event sources are freed while armed, or are not armed again", Tests(RELAYS)),
    known("W-42", "an import changes the descriptor's mode, though it was to leave it alone", Tests(IMPORTS)),
    known("W-42a", "at most 255 semaphores a wait", Tests(MANY_SEMAPHORES)),
    known("W-43", "a full ring is an error, also for a cancel", Tests(FULL_RING)),
    known("W-44, W-45", "groups of buffers run out, and a failed registration is the end", Tests(REGISTRATION)),
    known(
        "W-46",
        "capabilities are advertised and not used",
        Tests(&["capabilities_in_force_are_detected_and_allowed"]),
    ),
    known("W-48", "buffers given back by another thread tear the kernel's ring", Tests(RETURNS)),
    known("W-49", "submitting allocates", Tests(NO_ALLOCATION)),
    known("W-50, W-73", "several system calls a poll, and a wake a submit", Tests(CALLS)),
    known("W-60, W-81", "more than eight buffers overrun an array, or are cut", Tests(MANY_BUFFERS)),
    known("W-61", "an accept that succeeds at once is never armed again", Tests(ACCEPTS)),
    known("W-62", "a later send overtakes an earlier one", Tests(ORDER)),
    known("W-63", "a byte count of the last use is still there", Tests(REUSE)),
    known("W-64", "a close leaves its socket's operations behind", Tests(CLOSES)),
    known("W-66", "a cancel after the end touches freed memory", Tests(STALE)),
    known("W-67", "a failed import of a fence leaves its semaphore waiting", Tests(FENCES)),
    known("W-69", "a refused batch has begun, or an effect has no callback", Tests(BATCHES)),
    known("W-70", "an empty pool makes the socket fail", Tests(EMPTY_POOL)),
    known("W-71", "cancels and timers take longer the more there are", Tests(MANY_TIMERS)),
    known("W-72", "a poll spins in the last millisecond before a timer", Tests(NEAR_TIMERS)),
    known("W-74", "SIGPIPE is changed for the process; threads start unasked", Tests(PROCESS)),
    known("W-90, W-91", "files cannot be synced, listed, renamed; sockets do not tell their peer", Tests(GAPS)),
    known("W-92", "no deadlines, no cancel of a group, no periodic timers", Tests(COMPANY)),
    known("W-93", "no wait for a child, a writable descriptor, a futex", Tests(OTHERS_ENDS)),
    known("W-94", "nothing is counted", Tests(COUNTED)),
    known("W-95", "no fault is ever injected, no interleaving explored", Tests(INJECTED)),
    known("W-100", "closing with work pending, and two outstanding sends, are not looked at", Tests(NOT_LOOKED_AT)),
];

const TRACKER_RACES: &[&str] = &[
    "loom_an_advance_and_an_arming_wait_never_miss_each_other",
    "a_wait_that_races_with_the_advance_is_never_missed",
    "advance_and_cancel_race_and_the_frontier_wait_ends_once",
];
const ADVANCES: &[&str] =
    &["loom_advances_that_race_show_the_later_epoch_to_the_semaphore", "advances_that_race_never_fail_the_semaphore"];
const TRACKER_CALLS: &[&str] =
    &["who_is_told_of_the_semaphores_failure_may_use_the_tracker", "a_waker_may_use_the_tracker"];
const AXES: &[&str] =
    &["axes_join_and_leave_while_others_advance_and_wait", "loom_an_advance_that_was_held_up_moves_no_other_axis"];
const PLACES: &[&str] = &[
    "retired_axes_give_their_places_back_the_longest_retired_first",
    "a_retired_axis_cancels_waits_and_its_place_is_used_again",
];
const OBSERVERS: &[&str] =
    &["loom_a_conditional_signal_and_an_observer_never_miss_each_other", "a_storm_of_signals_loses_none_that_counts"];
const PROGRESS: &[&str] = &[
    "one_that_is_registered_from_within_another_has_its_turn_in_the_next_pass",
    "one_removes_itself_and_registers_another_at_once",
    "one_removes_the_next_and_the_one_before",
];
const EVENT_POOLS: &[&str] = &["a_release_and_an_acquire_of_a_clean_event_make_no_system_call", "threads_share_a_pool"];
const PROACTOR_POOLS: &[&str] = &[
    "forty_nodes_end_together",
    "a_node_that_takes_long_holds_no_other_up",
    "a_node_is_found_exactly_or_not_at_all",
    "the_name_is_the_pools_own_and_tells_the_node",
];
const AFFINITY: &[&str] = &["a_proactor_runs_on_the_processors_of_each_node", "workers_run_where_the_proactor_does"];
const MESSAGES: &[&str] = &[
    "a_message_from_a_signal_handler_arrives",
    "a_full_queue_refuses_and_recovers",
    "an_unbounded_queue_refuses_nothing_and_keeps_the_order",
    "a_message_that_is_sent_directly_has_no_completion",
];
const SIGNALS: &[&str] = &[
    "a_subscriber_cancels_its_neighbours_while_they_are_told",
    "a_signal_is_subscribed_to_again_and_again",
    "a_batch_that_is_refused_subscribes_to_nothing",
    "whatever_call_that_tells_others_fails_every_operation_ends_once_and_nothing_leaks",
];
const NOTIFICATIONS: &[&str] = &[
    "a_pending_wait_is_cancelled_at_once_and_once",
    "many_signals_during_one_wait_are_one_wake",
    "a_signal_between_observing_and_submitting_completes_the_wait",
    "a_blocking_thread_takes_nothing_from_an_operation",
    "a_blocking_wait_of_microseconds_is_not_one_of_milliseconds",
    "a_wake_without_a_signal_completes_nothing",
];
const RELAYS: &[&str] = &[
    "a_relay_that_failed_is_cancelled_in_vain_and_can_be_submitted_again",
    "a_descriptor_that_becomes_readable_is_passed_on_and_not_read",
    "a_full_eventfd_is_set_and_no_failure",
    "sources_that_the_kernel_gives_up_are_asked_again",
    "three_relays_of_one_descriptor_all_fire",
    "a_notification_in_shared_memory_is_a_source_and_a_sink",
];
const FENCES: &[&str] = &[
    "a_fence_whose_signaller_goes_away_fails_the_semaphore",
    "imports_that_race_with_a_shutdown_are_answered_or_given_back",
    "a_thousand_fences_in_and_out_leave_nothing",
];

const WAITER_ORDER: &[&str] = &[
    "waits_of_one_signal_end_by_value_then_first_in_first_out",
    "waiters_are_told_by_ascending_value_and_first_come_first_served",
];
const FAILED_SEMAPHORE: &[&str] =
    &["a_wait_on_a_failed_semaphore_fails_and_signals_are_refused", "no_value_rises_after_a_failure_was_seen"];
const CAUSES: &[&str] = &[
    "loom_who_sees_a_value_finds_its_causes",
    "a_late_wait_on_an_old_value_learns_that_values_causes",
    "who_sees_a_value_from_outside_sees_its_taint",
];
const WAIT_FOR_ANY: &[&str] = &[
    "a_failure_of_one_semaphore_fails_a_wait_for_any_only_when_none_was_reached",
    "a_wait_for_any_succeeds_if_one_is_reached_though_another_failed",
    "a_target_at_or_past_the_value_is_left_as_it_is",
];
const HELD: &[&str] = &[
    "an_operation_keeps_the_region_of_its_span",
    "leases_receive_and_send_and_outlive_their_pool",
    "a_semaphore_outlives_the_proactor_that_waited_for_it",
    "a_wait_holds_its_notification",
];
const SAME_ANSWERS: &[&str] = &[
    "programs_have_the_same_results_as_elsewhere",
    "a_cancel_after_the_end_is_not_found",
    "every_reason_to_refuse_gives_its_code",
];
const HOSTILE: &[&str] = &[
    "a_peer_that_scribbles_over_everything_leads_no_one_out_of_the_pool",
    "owners_that_cannot_be_are_data_loss_and_not_exhaustion",
];
const CRASHED: &[&str] =
    &["what_a_killed_process_held_is_reclaimed_and_no_more", "a_pool_that_is_made_anew_tells_its_old_users"];
const LEASES_ANYWHERE: &[&str] =
    &["leases_are_given_back_from_other_threads", "four_threads_over_two_handles_never_share_a_buffer"];
const ONE_OWNER: &[&str] =
    &["what_is_acquired_is_never_received_into", "a_buffer_that_a_backend_takes_is_in_no_other_list"];
const LEASES_OUTLIVE: &[&str] =
    &["the_memory_lives_until_the_last_lease_though_the_pool_is_gone", "leases_outlive_pool_handles_and_the_proactor"];
const OPERATION_POOLS: &[&str] = &["trim_keeps_what_it_is_told_to", "operations_are_taken_on_any_thread_and_come_back"];
const SEQUENCES: &[&str] = &[
    "a_sequence_without_steps_succeeds_and_calls_no_step_function",
    "a_nop_completes_once_on_the_poll_thread_and_never_inside_submit",
    "a_sequence_is_cancelled_at_every_step",
    "sequences_nest_and_fail_through",
    "a_group_is_a_step_and_a_sequence_a_member",
];
const MULTISHOT_RECEIVE: &[&str] = &[
    "one_receive_is_told_of_every_message_and_of_the_end_of_the_stream",
    "a_reset_connection_ends_a_receive_with_its_failure",
];
const WAIT_RACES: &[&str] = &[
    "cancel_races_with_signal_and_the_wait_ends_once",
    "signal_cancel_and_fail_race_for_2000_rounds",
    "loom_disarm_and_signal_agree_on_who_won",
];
const EFFECTS: &[&str] = &[
    "a_signal_operation_in_a_chain_keeps_its_place",
    "a_refused_batch_has_signalled_nobody",
    "a_message_behind_a_timer_is_sent_when_its_turn_comes",
    "a_signal_in_a_chain_does_not_run_ahead",
    "a_failed_step_of_any_kind_leaves_the_rest_undone",
    "a_batch_with_a_bad_operation_in_the_middle_comes_back_whole_and_does_nothing",
];
const RING: &[&str] = &[
    "short_transfers_lose_no_byte",
    "a_wait_that_signals_cut_short_loses_nothing",
    "completions_beyond_the_queue_wait_and_none_is_lost",
    "partly_taken_batch_keeps_the_rest_for_the_next_enter",
];
const STICKY: &[&str] = &[
    "a_cancelled_receive_leaves_the_socket_usable",
    "sends_after_a_failure_get_that_failure_and_receives_still_try",
    "a_vanished_peer_ends_it_with_the_failure",
];
const ACCEPTS: &[&str] = &[
    "one_accept_takes_many_connections_and_ends_once_when_cancelled",
    "accept_tells_who_connected",
    "room_to_write_is_told_when_it_comes",
];
const IMPORTS: &[&str] = &[
    "a_fence_is_left_as_it_was",
    "a_shutdown_fails_the_semaphores_of_all_imports",
    "what_is_no_socket_is_refused_and_comes_back_as_it_was",
    "either_blocking_mode_is_taken_in_and_suits_the_backend",
    "whatever_call_that_waits_for_others_fails_every_operation_ends_once_and_nothing_leaks",
];
const MANY_SEMAPHORES: &[&str] = &[
    "a_wait_for_three_hundred_semaphores_is_one_wait",
    "waits_on_300_and_1000_semaphores_end_with_the_last_or_the_first",
    "a_wait_for_all_ends_with_the_last_however_many",
];
const FULL_RING: &[&str] = &[
    "more_operations_than_ring_entries_all_complete_in_order",
    "operations_behind_a_full_ring_of_waits_do_not_wait_for_them",
    "cancels_beyond_the_rings_room_all_arrive",
];
const REGISTRATION: &[&str] = &[
    "a_full_table_refuses_and_has_room_again",
    "several_regions_are_registered_side_by_side",
    "two_pools_are_kept_apart",
    "one_proactor_serves_hundreds_of_pools_one_after_another_and_many_at_once",
    "whatever_call_on_pools_fails_every_operation_ends_once_and_nothing_leaks",
];
const RETURNS: &[&str] = &[
    "a_lease_dropped_on_another_thread_wakes_the_receive",
    "leases_that_receive_are_dropped_on_another_thread",
    "dropped_outcomes_give_their_buffers_back",
];
const CALLS: &[&str] = &[
    "an_immediate_poll_with_nothing_to_do_enters_no_kernel",
    "a_batch_as_long_as_the_ring_costs_one_enter",
    "many_submits_during_one_sleep_are_one_wake",
];
const MANY_BUFFERS: &[&str] = &[
    "many_more_buffers_than_one_call_takes_arrive_whole",
    "more_buffers_than_the_kernel_takes_at_once_still_arrive_whole",
    "too_many_buffers_for_one_datagram_are_refused",
];
const ORDER: &[&str] = &[
    "concurrent_large_sends_go_out_in_their_order",
    "sends_and_receives_of_mixed_sizes_keep_every_byte_in_place",
    "eager_receive_does_not_overtake_one_that_waits",
];
const REUSE: &[&str] =
    &["storage_goes_round_as_often_as_it_is_submitted", "operations_with_other_buffers_can_be_submitted_again"];
const CLOSES: &[&str] = &[
    "close_cancels_everything_pending_and_then_completes",
    "a_descriptor_number_is_not_reused_under_a_pending_operation",
    "a_file_closed_with_work_pending_ends_all_of_it",
];
const STALE: &[&str] = &[
    "a_stale_identity_harms_no_later_operation_in_its_slot",
    "identities_of_a_batch_are_distinct_and_stale_after_their_end",
    "loom_a_cancel_is_never_of_the_next_generation",
];
const BATCHES: &[&str] = &[
    "a_batch_with_a_bad_operation_in_the_middle_comes_back_whole_and_does_nothing",
    "the_local_limit_is_exact",
    "whatever_call_fails_every_operation_ends_once_and_nothing_leaks",
];
const NO_ALLOCATION: &[&str] = &[
    "waits_on_several_semaphores",
    "chains_of_a_wait_and_a_send",
    "repeated_receives_into_a_pool",
    "storage_from_a_pool",
];
const EMPTY_POOL: &[&str] = &[
    "an_empty_pool_is_no_failure_of_the_socket",
    "an_empty_pool_holds_up_a_receive_until_a_lease_is_dropped",
    "a_receive_with_many_outcomes_survives_an_empty_pool",
];
const MANY_TIMERS: &[&str] = &["ten_thousand_timers_with_random_cancels_all_end_once"];
const NEAR_TIMERS: &[&str] = &["a_wait_for_a_near_timer_does_not_spin", "a_timer_never_fires_early"];
const PROCESS: &[&str] = &[
    "a_broken_pipe_raises_no_signal_and_leaves_its_handler",
    "writes_to_what_nobody_reads_fail_and_raise_nothing",
    "no_thread_starts_before_the_first_file_operation",
];
const GAPS: &[&str] = &[
    "sync_succeeds_on_files_and_directories",
    "rename_refuses_an_existing_target_unless_told_to_replace",
    "list_names_every_entry_with_its_kind_and_no_dots",
    "accept_tells_who_connected",
    "segments_leave_as_one_and_arrive_as_many",
    "a_group_is_heard_by_its_members_until_they_leave",
    "options_by_number_reach_the_kernel",
    "states_follow_bind_listen_connect_and_close",
    "an_attribute_is_set_told_listed_and_removed",
    "a_walk_tells_the_whole_tree_in_batches",
    "direct_io_tells_its_alignment_and_refuses_what_is_not",
    "bytes_move_between_pipe_and_socket",
];
const COMPANY: &[&str] = &[
    "a_deadline_ends_whatever_waits",
    "a_cancelled_scope_ends_all_that_is_in_it_and_only_that",
    "an_interval_keeps_to_its_grid_and_ends_after_its_count",
    "members_run_side_by_side",
];
const OTHERS_ENDS: &[&str] = &[
    "a_wait_begun_before_the_end_is_told_of_it",
    "room_to_write_is_told_when_it_comes",
    "a_wait_ends_when_another_thread_changes_and_wakes",
];
const COUNTED: &[&str] = &[
    "statistics_count_operations_batches_and_depth",
    "statistics_count_bytes_of_each_flow",
    "statistics_find_a_callback_that_blocks",
];
const INJECTED: &[&str] = &[
    "whatever_call_fails_every_operation_ends_once_and_nothing_leaks",
    "loom_no_push_leaves_the_poll_thread_asleep",
    "whatever_comes_every_operation_ends_once_in_order_and_streams_stay_whole",
];
const NOT_LOOKED_AT: &[&str] = &[
    "a_close_of_the_listener_ends_its_accept_once_and_really_closes_it",
    "close_cancels_everything_pending_and_then_completes",
    "concurrent_large_sends_go_out_in_their_order",
    "a_cancel_after_the_end_is_not_found",
    "many_more_buffers_than_one_call_takes_arrive_whole",
    "a_close_ends_each_of_many_outcomes_once_and_completes",
    "a_pending_wait_is_cancelled_at_once_and_once",
    "a_notification_in_shared_memory_is_a_source_and_a_sink",
    "forty_nodes_end_together",
    "advance_and_cancel_race_and_the_frontier_wait_ends_once",
];

/// The table, in Markdown.
pub fn table() -> String {
    let mut text = String::from("| | what goes wrong | what would find it here |\n|---|---|---|\n");
    for Known { number, what, by } in KNOWN {
        let by = match by {
            Tests(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            Shape(why) => format!("nothing to find: {why}"),
        };
        let _ = writeln!(text, "| {number} | {what} | {by} |");
    }
    text
}
