//! (being written)
/// x
#[derive(Clone, Debug)]
pub struct Retention;
