//! The report as a table.

use std::fmt;

use super::{Percentiles, ProcessCost, Report};
use crate::progress::{bytes, count};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_shape(f)?;
        self.write_counts(f)?;
        self.write_times(f)?;
        self.write_faults(f)?;
        self.write_costs(f)?;
        for refused in &self.refusals {
            let times = count(refused.count);
            writeln!(f, "{:<12}{} times: {}", "refused", times, refused.refusal)?;
        }
        write!(f, "{}", self.verdict())
    }
}

impl Report {
    fn write_shape(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = &self.load;
        write!(
            f,
            "{:<12}{} over {}, {} connections in {} rooms, ",
            "load",
            load.url,
            load.transport,
            count(load.connections as u64),
            count(load.rooms as u64)
        )?;
        match (load.in_flight, load.rate) {
            (Some(window), _) => write!(f, "{} senders with {window} in flight", load.senders)?,
            (_, Some(rate)) => write!(f, "{} senders at {rate} messages a second", load.senders)?,
            _ => write!(f, "nobody sends")?,
        }
        writeln!(f, ", {:.1} s measured", load.seconds)
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = &self.connect;
        write!(
            f,
            "{:<12}{} joined in {:.2} s, {:.0} a second",
            "connects",
            count(connect.joined),
            connect.seconds,
            connect.per_second
        )?;
        write_unless_zero(f, connect.failed, "attempts failed")?;
        write_unless_zero(f, connect.missing, "clients never joined")?;
        if self.load.senders == 0 {
            return writeln!(f);
        }
        let messages = &self.messages;
        write!(
            f,
            "\n{:<12}{} sent, {:.0} a second, {} acknowledged",
            "messages",
            count(messages.sent),
            messages.per_second,
            count(messages.acked)
        )?;
        write_unless_zero(f, messages.sent_again, "sent again")?;
        write_unless_zero(f, messages.refused, "refused")?;
        write_unless_zero(f, messages.unconfirmed, "neither acknowledged nor received")?;
        let deliveries = &self.deliveries;
        writeln!(
            f,
            "\n{:<12}{} received, {:.0} a second; {} lost, {} repeated, {} out of order",
            "deliveries",
            count(deliveries.received),
            deliveries.per_second,
            count(deliveries.lost),
            count(deliveries.repeated),
            count(deliveries.disordered)
        )
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "median", "90 %", "99 %", "99.9 %", "longest"
        )?;
        for (what, times) in [
            ("connect until joined", &self.connect.latency_ms),
            ("send until acknowledged", &self.messages.ack_ms),
            ("send until received", &self.deliveries.latency_ms),
            ("come back", &self.faults.come_back_ms),
        ] {
            if *times != Percentiles::default() {
                write!(f, "{what:<28}")?;
                for value in [times.p50, times.p90, times.p99, times.p999, times.max] {
                    write!(f, "{:>10.2}", value.unwrap_or(0.0))?;
                }
                writeln!(f)?;
            }
        }
        writeln!(f)
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = &self.faults;
        if faults.cut + faults.dropped + faults.recovered + faults.started_anew > 0 {
            writeln!(
                f,
                "{:<12}{} cut, {} ended by the server or the network; {} recovered, {} started anew",
                "faults",
                count(faults.cut),
                count(faults.dropped),
                count(faults.recovered),
                count(faults.started_anew)
            )?;
        }
        if !faults.storms_ms.is_empty() {
            let times: Vec<_> = faults
                .storms_ms
                .iter()
                .map(|time| format!("{time:.0} ms"))
                .collect();
            writeln!(f, "{:<12}all back after {}", "storms", times.join(", "))?;
        }
        Ok(())
    }

    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write_cost(f, "server", server)?;
        }
        if let Some(client) = &self.client {
            write_cost(f, "load itself", client)?;
        }
        Ok(())
    }

    fn verdict(&self) -> &'static str {
        let deliveries = &self.deliveries;
        if deliveries.lost + deliveries.repeated + deliveries.disordered > 0 {
            return "FAILED: messages were lost, repeated or out of order\n";
        }
        if self.connect.missing > 0 {
            return "FAILED: not all clients joined\n";
        }
        if !self.ok {
            return "FAILED: nothing was delivered\n";
        }
        match (self.stopped, self.load.senders) {
            (true, _) => "ended early: whether all messages arrived is not known\n",
            (_, 0) => "ok: all connections were held\n",
            _ => "ok: every message arrived once and in order\n",
        }
    }
}

fn write_cost(f: &mut fmt::Formatter<'_>, name: &str, cost: &ProcessCost) -> fmt::Result {
    write!(f, "{name:<12}{:.2} s of CPU", cost.cpu_seconds)?;
    if let Some(each) = cost.cpu_us_per_delivery {
        write!(f, ", {each:.2} µs a delivery")?;
    }
    if let Some(each) = cost.cpu_us_per_message {
        write!(f, ", {each:.2} µs a message")?;
    }
    write!(f, "; {} of memory", bytes(cost.memory_bytes))?;
    if let (Some(before), Some(each)) = (cost.memory_before_bytes, cost.memory_per_connection_bytes)
    {
        write!(
            f,
            ", {} before, {} a connection",
            bytes(before),
            bytes(each)
        )?;
    }
    writeln!(f)
}

fn write_unless_zero(f: &mut fmt::Formatter<'_>, number: u64, what: &str) -> fmt::Result {
    match number {
        0 => Ok(()),
        _ => write!(f, ", {} {what}", count(number)),
    }
}
