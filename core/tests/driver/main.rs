//! One suite for all drivers: what `clustercore::io::Driver` promises, on io_uring (whole and with features masked), on epoll and in
//! the simulator.

mod cases;
mod child;
mod datagram_kernel;
mod kernel;
mod node;
mod random;
mod random_trains;
mod world;

use clustercore::io::Features;

/// All cases for one way to make drivers.
macro_rules! suite {
    ($module:ident, $make:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "some ways need the list of features, some do not")]
            use super::*;
            suite!(@tests $make;
                accept_and_echo, large_transfers_both_ways, a_slow_reader_loses_nothing, half_close,
                write_after_the_peer_closed_fails, abort_resets, close_after_send_delivers_all, few_closed_streams_may_linger, connect_refused,
                stale_ids_are_ignored, accept_pause_and_resume, a_full_table_refuses_and_recovers,
                unlisten_leaves_streams_alone,
                recv_stop_and_again, recv_block_is_once, few_buffers_still_make_progress,
                many_chunks_in_one_turn, outstanding_falls_as_the_peer_reads, leases_are_split_and_sent, send_before_connected,
                splice_exact_length, splice_until_the_end, splice_source_fails, splice_target_fails,
                splice_to_a_slow_target, splice_is_refused_when_not_free, close_ends_a_splice,
                datagrams_come_in_order, trains_of_large_segments, a_closed_datagram_socket_is_silent,
                a_train_is_cut_at_the_kernels_limit, a_shared_train_is_its_owners_again, an_owned_buffer_is_used_again,
                many_trains_of_mixed_sizes_in_one_turn, an_empty_datagram_comes_through, congestion_marks_travel,
                lent_buffers_stop_receiving_until_one_is_back, kept_datagrams_do_not_stop_receiving,
                a_full_queue_of_trains_refuses, a_train_that_cannot_be_meant_is_refused, a_closed_socket_sends_what_it_can,
                datagrams_are_steered_by_a_byte, the_receive_buffer_is_as_asked_for,
                random_operations, random_trains
            );
        }
    };
    (@tests $make:expr; $($case:ident),*) => {
        $(#[test] fn $case() { crate::cases::$case(&$make); })*
    };
}

suite!(epoll, world::epoll);
suite!(epoll_masked, world::epoll_masked);
suite!(sim, world::sim);
suite!(uring, world::uring);
suite!(uring_6_1, world::uring_masked(Features::KERNEL_6_1));
suite!(uring_bare, world::uring_masked(Features::NONE));
suite!(uring_single_accept, world::uring_masked(Features { multishot_accept: false, ..Features::ALL }));
suite!(uring_single_recv, world::uring_masked(Features { multishot_recv: false, ..Features::ALL }));
suite!(uring_no_buffer_ring, world::uring_masked(Features { buffer_ring: false, ..Features::ALL }));
suite!(uring_no_defer_taskrun, world::uring_masked(Features { defer_taskrun: false, ..Features::ALL }));
suite!(uring_no_udp_offload, world::uring_masked(Features { udp_offload: false, ..Features::ALL }));
suite!(uring_no_splice, world::uring_masked(Features { splice: false, ..Features::ALL }));
