//! Whether one client receives every message once and in order. Pure.

/// What a client has received, sender by sender.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// By the sender's number in the room: the number of the message that is expected next.
    next: Vec<u32>,
    /// What was left out and may still come; nearly always nothing, and then no memory.
    missing: Vec<Missing>,
    /// The highest of the room's numbers, where the server numbers messages.
    seq: u64,
    /// The client came while messages were sent: where a sender is, its first message says.
    is_late: bool,
}

/// Messages of one sender that were left out: `from`, and all before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Number of the sender in the room.
    pub(super) sender: usize,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// What a message is to the client that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The next one of its sender, or one that leaves others out.
    New,
    /// One that later ones overtook.
    Overtaken,
    /// One that it has received already.
    Repeat,
}

/// The number that stands for a sender of whom a late client has seen nothing yet.
const UNKNOWN: u32 = u32::MAX;

impl Checker {
    /// A client that joined after the first message was sent.
    pub(super) fn late() -> Self {
        Self {
            is_late: true,
            ..Self::default()
        }
    }

    /// Whether the client is to receive every message.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Notes a message of one of the room's `senders`.
    pub(super) fn see(&mut self, senders: usize, sender: usize, number: u32) -> Seen {
        if self.next.is_empty() {
            let start = if self.is_late { UNKNOWN } else { 0 };
            self.next = vec![start; senders];
        }
        let Some(next) = self.next.get_mut(sender) else {
            return Seen::Repeat;
        };
        if number == *next || *next == UNKNOWN {
            *next = number + 1;
            return Seen::New;
        }
        if number > *next {
            self.missing.push(Missing {
                sender,
                from: *next,
                to: number,
            });
            *next = number + 1;
            return Seen::New;
        }
        match self.fill(sender, number) {
            true => Seen::Overtaken,
            false => Seen::Repeat,
        }
    }

    /// Notes the room's number of a new message; false if an earlier one had a higher one.
    pub(super) fn see_seq(&mut self, seq: u64) -> bool {
        let in_order = seq > self.seq;
        self.seq = self.seq.max(seq);
        in_order
    }

    /// The server has begun to number the room anew.
    pub(super) fn forget_seq(&mut self) {
        self.seq = 0;
    }

    /// The highest number of the room that was received.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// Takes a message out of what is missing; false if it is not.
    fn fill(&mut self, sender: usize, number: u32) -> bool {
        let holds = |gap: &Missing| gap.sender == sender && (gap.from..gap.to).contains(&number);
        let Some(at) = self.missing.iter().position(holds) else {
            return false;
        };
        let gap = self.missing.swap_remove(at);
        let parts = [(gap.from, number), (number + 1, gap.to)];
        for (from, to) in parts.into_iter().filter(|(from, to)| from < to) {
            self.missing.push(Missing { from, to, ..gap });
        }
        true
    }

    /// Everything that is missing at the end, `sent` by each of the room's senders.
    pub(super) fn missing(&self, sent: &[u32]) -> Vec<Missing> {
        let mut missing = self.missing.clone();
        for (sender, sent) in sent.iter().enumerate() {
            let start = if self.is_late { UNKNOWN } else { 0 };
            let next = self.next.get(sender).copied().unwrap_or(start);
            if next < *sent {
                missing.push(Missing {
                    sender,
                    from: next,
                    to: *sent,
                });
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests;
