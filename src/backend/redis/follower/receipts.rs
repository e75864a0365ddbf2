//! Receipts: settled behind the delivery of their messages, or when it shows that this would take long.

use super::{Follower, Stored};
use crate::model::RoomKey;

impl Follower {
    pub(super) fn settle_behind(&mut self, room: &RoomKey, stored: Stored) {
        match self.rooms.get_mut(&self.shared.keys.channel(room)) {
            None => stored.settle(),
            Some(room) if stored.offset > room.offset => room.waiting.push_back(stored),
            Some(_) => {
                let place = self
                    .under_way
                    .partition_point(|it| it.offset < stored.offset);
                self.under_way.insert(place, stored);
                self.settle_given();
            }
        }
    }

    /// Settles the receipts of what the hub was given, or would be if no other lane were waited for.
    pub(super) fn settle_given(&mut self) {
        let all = self.outlet.is_straight() || self.held_up;
        let given = self.order.given();
        while let Some(stored) = (self.under_way).pop_front_if(|it| all || it.offset <= given) {
            stored.settle();
        }
    }

    /// Notes whether another lane holds this one up: what waited a moment ago and still does is stored, and whoever sent it
    /// should not wait as well.
    pub(super) fn note_hold_up(&mut self) {
        let last = self.under_way.front().map(|stored| stored.offset);
        self.held_up |= last.is_some() && last == self.waited || self.outlet.is_full();
        self.waited = last;
        if self.held_up {
            self.settle_all();
        }
    }

    pub(super) fn settle_all(&mut self) {
        self.under_way.drain(..).for_each(Stored::settle);
        for room in self.rooms.values_mut() {
            room.waiting.drain(..).for_each(Stored::settle);
        }
    }
}
