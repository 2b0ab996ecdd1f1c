//! What became of a mail, which is what its sender is answered.

/// What became of a mail that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenIn {
    /// It is recorded, or there was nothing to record.
    Done,
    /// The store is away, or it is too much: its sender comes again.
    Later,
}
