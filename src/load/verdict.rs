//! What is lost: everything that somebody was promised, or that somebody else received, and that did not come. Pure.

use std::collections::HashMap;

use super::checker::{Checker, Missing};

/// What every sender did, by its number among all.
pub(super) struct Sent {
    /// Messages that it numbered.
    pub(super) messages: u32,
    /// Numbers without an ack: they may have got lost before the server had them.
    pub(super) in_doubt: Vec<u32>,
}

/// The load's rooms, as far as this needs them.
pub(super) struct Rooms<'a> {
    pub(super) rooms: usize,
    /// The room of a client.
    pub(super) room_of: &'a dyn Fn(usize) -> usize,
    /// The sender that a client is, if it does not receive its own messages.
    pub(super) deaf_to: &'a dyn Fn(usize) -> Option<usize>,
}

/// Losses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Deliveries that never came.
    pub(super) deliveries: u64,
    /// Messages without an ack that nobody has received: nobody was promised anything.
    pub(super) unconfirmed: u64,
}

/// Adds up what is missing everywhere.
pub(super) fn judge(sent: &[Sent], checkers: &[(usize, Checker)], rooms: &Rooms<'_>) -> Lost {
    let mut lost = Lost::default();
    // By sender and number, of those in doubt: who did not receive it.
    let mut missed: HashMap<(usize, u32), u64> = HashMap::new();
    let mut members = vec![0u64; rooms.rooms];
    for (client, checker) in checkers {
        let room = (rooms.room_of)(*client);
        if !checker.is_late() {
            members[room] += 1;
        }
        let in_room = sent.iter().skip(room).step_by(rooms.rooms);
        let counts: Vec<u32> = in_room.map(|sender| sender.messages).collect();
        for Missing { sender, from, to } in checker.missing(&counts) {
            let sender = sender * rooms.rooms + room;
            if (rooms.deaf_to)(*client) == Some(sender) {
                continue;
            }
            lost.deliveries += u64::from(to - from);
            let doubts = sent[sender].in_doubt.iter();
            for number in doubts.filter(|number| (from..to).contains(number)) {
                lost.deliveries -= 1;
                *missed.entry((sender, *number)).or_default() += 1;
            }
        }
    }
    for ((sender, _), times) in missed {
        // Whoever sends without an echo is no receiver of it.
        let receivers = members[sender % rooms.rooms] - deaf(checkers, rooms, sender);
        if times >= receivers {
            lost.unconfirmed += 1;
        } else {
            lost.deliveries += times;
        }
    }
    lost
}

/// 1 if the sender is among the clients and does not receive its own messages.
fn deaf(checkers: &[(usize, Checker)], rooms: &Rooms<'_>, sender: usize) -> u64 {
    let is_deaf = |(client, checker): &&(usize, Checker)| {
        !checker.is_late() && (rooms.deaf_to)(*client) == Some(sender)
    };
    checkers.iter().filter(is_deaf).count() as u64
}

#[cfg(test)]
mod tests;
