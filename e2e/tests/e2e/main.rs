//! Gamecast shown to work, on the real servers: every test is a sentence that must hold.
//!
//! One set of servers and programs serves all tests, one after the other: `cargo test -p e2e`,
//! or `cargo test -p e2e -- faults` for some of them. `make e2e` builds what they need first.

mod adoption;
mod bad_input;
mod browser;
mod changes;
mod connectors;
mod deletion;
mod drift;
mod faults;
mod feeds;
mod lifecycle;
mod lost;
mod many;
mod page;
mod poison;
mod policy;
mod records;
mod replica;
mod rows;
mod status;
mod story;

use std::process::ExitCode;

use anyhow::Result;
use e2e::{World, tests, trials};

fn main() -> Result<ExitCode> {
    let tests = tests![
        World;
        story::a_row_reaches_subscribers_of_both_protocols,
        story::a_game_made_later_appears_on_connected_clients,
        story::two_fanouts_serve_each_message_once,
        story::a_late_subscriber_gets_the_last_value_and_then_the_stream,
        page::a_browser_shows_odds_changes_and_new_games,
        browser::an_event_source_gets_last_values_and_the_stream,
        browser::a_websocket_is_compressed_both_ways,
        rows::every_row_of_twenty_games_arrives_once_and_in_order,
        records::every_column_type_has_its_json,
        records::deletes_and_truncate_are_silent_and_an_update_is_news,
        records::bad_records_are_counted_and_the_stream_goes_on,
        feeds::a_feed_serves_a_hierarchy_with_wildcards,
        feeds::a_feed_waits_for_a_topic_that_does_not_exist,
        feeds::the_older_of_two_that_collide_wins,
        policy::a_changed_policy_changes_the_route_and_not_its_epoch,
        policy::a_feed_on_a_topic_that_exists_promises_what_kafka_keeps,
        policy::a_conflated_game_sends_the_first_and_the_latest_row,
        bad_input::the_api_server_refuses_and_names_the_field,
        bad_input::the_operator_and_the_api_refuse_what_went_around_the_schema,
        bad_input::a_client_that_errs_is_told_and_harms_nobody,
        deletion::retain_keeps_the_data_and_delete_removes_it,
        deletion::a_game_deleted_under_load_stalls_no_other_and_can_come_back,
        deletion::a_dedicated_game_deleted_under_load_can_come_back,
        status::a_status_tells_what_was_made_and_where,
        status::events_tell_turns_and_neither_resyncs_nor_restarts,
        status::a_game_that_waits_says_so_and_one_that_cannot_says_that,
        lifecycle::a_paused_game_is_left_alone_and_says_so,
        lifecycle::a_paused_game_goes_on_with_what_it_missed,
        lifecycle::a_deletion_that_cannot_finish_says_how_to_let_go,
        lifecycle::a_namespace_with_games_that_delete_goes,
        lifecycle::released_games_go_without_an_operator,
        lifecycle::what_games_left_while_there_was_no_operator_goes,
        changes::a_column_is_added_while_rows_stream,
        changes::a_column_is_added_to_a_table_that_knows_no_instant_way,
        changes::window_topic_and_name_can_change,
        changes::what_cannot_change_is_refused_and_says_what_to_do,
        adoption::a_table_that_fits_is_adopted_with_its_rows,
        adoption::a_table_that_does_not_fit_is_a_conflict_and_stays_as_it_is,
        adoption::a_topic_that_does_not_fit_is_a_conflict_and_stays_as_it_is,
        adoption::an_empty_topic_of_a_table_that_was_nobodys_is_adopted,
        drift::what_somebody_broke_is_put_right,
        drift::an_edited_connector_is_put_right_at_once_each_time,
        connectors::a_task_that_fails_is_told_by_all_its_games_and_a_repair_clears_them,
        poison::a_row_of_five_megabytes_stops_nobody_else,
        poison::rows_without_a_key_stop_nobody_else,
        poison::a_table_that_no_game_has_stops_nobody_without_its_topic,
        poison::what_is_done_to_a_table_by_hand_stops_nobody_else,
        poison::ddl_that_debezium_cannot_parse_stops_nobody,
        poison::statements_in_the_binlog_stop_nobody_else,
        lost::a_purged_binlog_is_told_and_a_snapshot_goes_on,
        lost::a_lost_schema_history_is_told_and_a_snapshot_goes_on,
        lost::a_snapshot_is_made_as_soon_as_it_is_asked_for,
        lost::lost_offsets_are_a_gap,
        many::a_hundred_unchanged_games_are_looked_at_with_a_few_calls,
        replica::rows_go_on_from_a_promoted_replica,
        faults::a_game_applied_while_mysql_is_down_becomes_ready,
        faults::a_game_applied_while_connect_is_down_becomes_ready,
        faults::a_game_applied_while_kafka_is_down_becomes_ready,
        faults::a_fanout_started_before_kafka_waits_and_then_serves,
        faults::killed_programs_lose_nothing,
    ];
    trials::run(World::up(), tests)
}
